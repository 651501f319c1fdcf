//! What the running kernel says of its TCP and its black box, by sysctl(3).
//!
//! Everywhere but on FreeBSD there is nothing to ask, and every answer is
//! none.

/// Bytes of a `struct tcp_function_info` (`sys/netinet/tcp_var.h`, the same in
/// 12.0 to 15): `uint32_t tfi_refcnt` at 0, `uint8_t tfi_id` at 4,
/// `char tfi_name[32]` at 5, `char tfi_alias[32]` at 37, and 3 bytes of
/// padding. No field depends on the ABI; the number is in host order.
pub const FUNCTION_INFO: usize = 72;
const ID: usize = 4;
const NAME: std::ops::Range<usize> = 5..37;
const ALIAS: std::ops::Range<usize> = 37..69;

/// The names of the loaded stacks by id (`tlb_stackid`), in order of the ids.
///
/// They hold until the next boot, and a stack that is loaded later is not
/// among them.
pub fn stack_names() -> Vec<(u8, String)> {
    value("net.inet.tcp.function_info")
        .map(|bytes| function_info(&bytes))
        .unwrap_or_default()
}

/// The stacks in the value of `net.inet.tcp.function_info`: an array of
/// `struct tcp_function_info`, one for each name that a stack can be asked for
/// by (`tfi_alias`); `tfi_name` is the name that it has itself.
///
/// What follows the last whole structure is left out, and so are structures
/// without a name.
pub fn function_info(bytes: &[u8]) -> Vec<(u8, String)> {
    let mut found: Vec<(u8, String)> = Vec::new();
    for entry in bytes.chunks_exact(FUNCTION_INFO) {
        let (Some(id), Some(name), Some(alias)) =
            (entry.get(ID), entry.get(NAME), entry.get(ALIAS))
        else {
            continue;
        };
        let (name, alias) = (text(name), text(alias));
        if name.is_empty() {
            continue;
        }
        // An id has 8 bits, so it comes again after 255 registrations.
        match found.iter_mut().find(|(known, _)| known == id) {
            Some((_, known)) if name == alias => *known = name,
            Some(_) => {}
            None => found.push((*id, name)),
        }
    }
    found.sort_unstable_by_key(|(id, _)| *id);
    found
}

/// The text before the first zero byte.
fn text(bytes: &[u8]) -> String {
    let text = bytes.split(|byte| *byte == 0).next().unwrap_or_default();
    String::from_utf8_lossy(text).into_owned()
}

/// The version of the records that the kernel writes (`TCP_LOG_BUF_VER`).
/// None if the kernel has no black box.
pub fn log_version() -> Option<u32> {
    u32::try_from(number("net.inet.tcp.bb.log_version")?).ok()
}

/// The release of the running kernel, as uname(1) prints it.
pub fn release() -> Option<String> {
    value("kern.osrelease").map(|bytes| text(&bytes))
}

/// A log mode of `tcp_log_buf.h` (`TCP_LOG_STATE_*`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mode(pub i64);

impl Mode {
    pub const TAIL: Mode = Mode(1);
    pub const HEAD_AUTO: Mode = Mode(3);
    pub const CONTINUAL: Mode = Mode(4);
    pub const TAIL_AUTO: Mode = Mode(5);
    pub const VIA_BBPOINTS: Mode = Mode(6);

    /// True if the kernel hands the log to the device of its own accord, and
    /// not only when a program asks for it.
    pub fn dumps_by_itself(self) -> bool {
        matches!(
            self,
            Mode::HEAD_AUTO | Mode::CONTINUAL | Mode::TAIL_AUTO | Mode::VIA_BBPOINTS
        )
    }

    pub fn name(self) -> Option<&'static str> {
        Some(match self.0 {
            -2 => "RATIO_OFF",
            -1 => "CLEAR",
            0 => "OFF",
            1 => "TAIL",
            2 => "HEAD",
            3 => "HEAD_AUTO",
            4 => "CONTINUAL",
            5 => "TAIL_AUTO",
            6 => "VIA_BBPOINTS",
            _ => return None,
        })
    }
}

/// The values of `net.inet.tcp.bb.*`; what a kernel does not have is none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    pub log_version: Option<u32>,
    /// Nothing is logged, whatever else is set. After 13.0.
    pub disable_all: Option<bool>,
    /// What connections do that are chosen for logging.
    pub log_auto_mode: Option<Mode>,
    /// Chosen from all connections, not only from those with a log ID.
    pub log_auto_all: Option<bool>,
    /// One of so many is chosen; none if 0.
    pub log_auto_ratio: Option<i64>,
    /// Most records of a connection.
    pub log_session_limit: Option<i64>,
    /// Most records of all connections, 0: no limit.
    pub log_global_limit: Option<i64>,
    /// Records that the kernel holds now.
    pub log_global_entries: Option<i64>,
    /// Most log IDs, 0: no limit.
    pub log_id_limit: Option<i64>,
    pub log_id_entries: Option<i64>,
    /// The trace point that switches logging on; 0: none, all ones: every one.
    pub tp_number: Option<i64>,
    pub tp_bbmode: Option<Mode>,
    /// Connections that it still does so for.
    pub tp_count: Option<i64>,
}

impl Settings {
    /// As they are now.
    pub fn current() -> Settings {
        let number = |name: &str| number(&format!("net.inet.tcp.bb.{name}"));
        Settings {
            log_version: log_version(),
            disable_all: number("disable_all").map(|value| value != 0),
            log_auto_mode: number("log_auto_mode").map(mode),
            log_auto_all: number("log_auto_all").map(|value| value != 0),
            log_auto_ratio: number("log_auto_ratio"),
            log_session_limit: number("log_session_limit"),
            log_global_limit: number("log_global_limit"),
            log_global_entries: number("log_global_entries"),
            log_id_limit: number("log_id_limit"),
            log_id_entries: number("log_id_entries"),
            tp_number: number("tp.number"),
            tp_bbmode: number("tp.bbmode").map(mode),
            tp_count: number("tp.count"),
        }
    }
}

/// The variables have 32 bits without a sign, and modes below 0 exist.
fn mode(value: i64) -> Mode {
    Mode(match u32::try_from(value) {
        Ok(bits) => i64::from(bits.cast_signed()),
        Err(_) => value,
    })
}

fn number(name: &str) -> Option<i64> {
    integer(&value(name)?)
}

/// An integer in host order, by its size: bool has 1 byte, `unsigned long` 4
/// or 8. Nothing asked for here is below 0, so numbers have no sign.
pub fn integer(bytes: &[u8]) -> Option<i64> {
    Some(match *bytes {
        [a] => i64::from(a),
        [a, b, c, d] => i64::from(u32::from_ne_bytes([a, b, c, d])),
        [a, b, c, d, e, f, g, h] => {
            let value = u64::from_ne_bytes([a, b, c, d, e, f, g, h]);
            i64::try_from(value).unwrap_or(i64::MAX)
        }
        _ => return None,
    })
}

/// Most bytes of a value: 255 stacks with a few names each.
#[cfg(target_os = "freebsd")]
const MOST: usize = 64 * 1024;

/// The bytes of a sysctl(3) variable.
///
/// Not by way of the crate `sysctl`: it holds it for an error that
/// `function_info` is shorter than announced, as it always is (the kernel
/// announces room for one stack more).
#[cfg(target_os = "freebsd")]
fn value(name: &str) -> Option<Vec<u8>> {
    let name = std::ffi::CString::new(name).ok()?;
    let mut value = vec![0_u8; MOST];
    let mut len = value.len();
    // SAFETY: `name` ends in a zero byte; the kernel writes at most `len`
    // bytes to `value`, which has that many, and then their number to `len`;
    // nothing is set, since the new value is null.
    let done = unsafe {
        nix::libc::sysctlbyname(
            name.as_ptr(),
            value.as_mut_ptr().cast(),
            &raw mut len,
            std::ptr::null(),
            0,
        )
    };
    if done != 0 {
        return None;
    }
    value.truncate(len);
    Some(value)
}

#[cfg(not(target_os = "freebsd"))]
fn value(_name: &str) -> Option<Vec<u8>> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn entry(refcount: u32, id: u8, name: &str, alias: &str) -> Vec<u8> {
        let mut entry = vec![0; FUNCTION_INFO];
        entry[..4].copy_from_slice(&refcount.to_ne_bytes());
        entry[4] = id;
        entry[5..5 + name.len()].copy_from_slice(name.as_bytes());
        entry[37..37 + alias.len()].copy_from_slice(alias.as_bytes());
        entry
    }

    #[test]
    fn stacks_by_id() {
        let longest = "x".repeat(32);
        let mut array = Vec::new();
        for part in [
            entry(7, 3, "rack", "rack_old"),
            entry(19, 1, "freebsd", "default"),
            entry(19, 1, "freebsd", "freebsd"),
            entry(7, 3, "rack", "rack"),
            entry(0, 200, &longest, "y"),
            entry(0, 9, "", "nameless"),
        ] {
            array.extend(part);
        }
        array.extend([1; FUNCTION_INFO - 1]);
        let named = |id: u8, name: &str| (id, name.to_owned());
        let expected = vec![named(1, "freebsd"), named(3, "rack"), named(200, &longest)];
        assert_eq!(function_info(&array), expected);
        assert_eq!(function_info(&[]), vec![]);
    }

    #[test]
    fn integers_by_size() {
        assert_eq!(integer(&[1]), Some(1));
        assert_eq!(integer(&5_000_000_u32.to_ne_bytes()), Some(5_000_000));
        assert_eq!(integer(&u32::MAX.to_ne_bytes()), Some(4_294_967_295));
        assert_eq!(integer(&100_u64.to_ne_bytes()), Some(100));
        assert_eq!(integer(&u64::MAX.to_ne_bytes()), Some(i64::MAX));
        assert_eq!(integer(&[]), None);
        assert_eq!(integer(&[0; 3]), None);
    }

    #[test]
    fn modes() {
        assert_eq!(mode(i64::from(u32::MAX)).name(), Some("CLEAR"));
        assert_eq!(mode(4), Mode::CONTINUAL);
        assert_eq!(mode(7).name(), None);
        let by_itself: Vec<_> = (-2..7)
            .map(Mode)
            .filter(|mode| mode.dumps_by_itself())
            .filter_map(Mode::name)
            .collect();
        let expected = ["HEAD_AUTO", "CONTINUAL", "TAIL_AUTO", "VIA_BBPOINTS"];
        assert_eq!(by_itself, expected);
    }

    /// Elsewhere than on FreeBSD there is nothing.
    #[cfg(not(target_os = "freebsd"))]
    #[test]
    fn no_kernel_to_ask() {
        assert_eq!(stack_names(), vec![]);
        assert_eq!(Settings::current(), Settings::default());
    }

    /// On FreeBSD the base stack is always there.
    #[cfg(target_os = "freebsd")]
    #[test]
    fn asks_the_kernel() {
        assert!(stack_names().iter().any(|(_, name)| name == "freebsd"));
        let settings = Settings::current();
        assert_eq!(settings.log_version.is_some(), log_version().is_some());
    }

    proptest! {
        #[test]
        fn any_bytes(bytes: Vec<u8>) {
            let found = function_info(&bytes);
            prop_assert!(found.len() <= bytes.len() / FUNCTION_INFO);
            prop_assert!(found.is_sorted_by(|a, b| a.0 < b.0));
        }
    }
}
