//! A stand-in for FreeBSD's `/dev/tcp_log` on Linux: a library for `LD_PRELOAD`.
//!
//! The device is a spool file that holds messages back to back, and to which
//! more may be appended at any time. What a reader may notice is kept:
//! a read never crosses a message, waits while there is none or answers
//! `EAGAIN`, is interrupted by signals, and each open has its own position.
//! A message that is not yet whole in the spool is not there yet.
//!
//! The kernel's own file offset is the position of a reader, and its file
//! status flags say whether it waits; so copies of a descriptor, in this
//! process or another one, behave as they should without any bookkeeping. A
//! descriptor is the device if it has the spool's inode number.
//!
//! Environment:
//! * `TCPLOG_STANDIN_DEVICE`: path of the spool file.
//! * `TCPLOG_STANDIN_FAULTS`: what goes wrong, parted by commas. `every:K=WHAT`
//!   is about every Kth read of the device, `N=WHAT` about read number N (from
//!   0), `open=ERRNO` about opening. WHAT is an errno by name or Linux number, or
//!   `short`: at most half of what was asked for, or `short:BYTES`.
//! * `TCPLOG_STANDIN_LOG`: file to which each read is appended when it returns,
//!   as `number requested returned errno`.
//! * `TCPLOG_STANDIN_CLOCK_STEP`: `SECONDS after N reads` steps the time of day
//!   once N reads have returned data.
//! * `TCPLOG_STANDIN_START=end`: an open finds an empty queue, as that of the
//!   only reader does, not all that the spool holds.
//!
//! For 64-bit Linux with glibc 2.33 or later, and programs that call it.
//! `select` and `epoll` do not know the stand-in.

use std::env;
use std::ffi::{OsString, c_char, c_int, c_long, c_uint, c_ulong, c_void};
use std::fs::OpenOptions;
use std::io::Write;
use std::mem;
use std::os::unix::ffi::OsStrExt;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

const EINTR: c_int = 4;
const EIO: c_int = 5;
const EAGAIN: c_int = 11;
const EBUSY: c_int = 16;
const ENODEV: c_int = 19;

/// Names that a script of faults may use.
const ERRNOS: [(&str, c_int); 12] = [
    ("EPERM", 1),
    ("ENOENT", 2),
    ("EINTR", EINTR),
    ("EIO", EIO),
    ("ENXIO", 6),
    ("EBADF", 9),
    ("EAGAIN", EAGAIN),
    ("ENOMEM", 12),
    ("EACCES", 13),
    ("EFAULT", 14),
    ("EBUSY", EBUSY),
    ("ENODEV", ENODEV),
];

const AT_FDCWD: c_int = -100;
const AT_EMPTY_PATH: c_int = 0x1000;
const SEEK_CUR: c_int = 1;
const SEEK_END: c_int = 2;
const F_GETFL: c_int = 3;
const O_ACCMODE: c_int = 3;
const O_TRUNC: c_int = 0o1000;
const O_APPEND: c_int = 0o2000;
const O_NONBLOCK: c_int = 0o4000;
const POLLIN: i16 = 0x001;
const POLLRDNORM: i16 = 0x040;
const SIG_SETMASK: c_int = 2;
const SA_RESTART: c_int = 0x1000_0000;
const S_IFCHR: u32 = 0o020_000;
const DEVICE_MODE: u32 = S_IFCHR | 0o400;
/// Any device number will do.
const DEVICE_NUMBER: (u32, u32) = (0, 77);

/// Pause before the spool is looked at again.
const SLICE: Timespec = Timespec {
    sec: 0,
    nsec: 2_000_000,
};

/// Bytes of `struct tcp_log_common_header`.
const COMMON_HEADER: u64 = 16;

#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Timespec {
    sec: i64,
    nsec: c_long,
}

#[repr(C)]
#[derive(Clone, Copy)]
struct PollFd {
    fd: c_int,
    events: i16,
    revents: i16,
}

#[repr(C)]
#[derive(Clone, Copy)]
struct IoVec {
    base: *mut c_void,
    len: usize,
}

#[repr(C, align(8))]
#[derive(Clone, Copy)]
struct SigSet([u8; 128]);

#[repr(C)]
struct SigAction {
    handler: usize,
    mask: SigSet,
    flags: c_int,
    restorer: usize,
}

/// `struct stat`, large enough for every architecture.
#[repr(C, align(8))]
struct Stat([u8; 256]);

unsafe extern "C" {
    fn dlsym(handle: *mut c_void, name: *const c_char) -> *mut c_void;
    fn __errno_location() -> *mut c_int;
    fn lseek64(fd: c_int, offset: i64, whence: c_int) -> i64;
    fn pread64(fd: c_int, buf: *mut c_void, len: usize, offset: i64) -> isize;
    fn fcntl(fd: c_int, command: c_int, ...) -> c_int;
    fn pthread_sigmask(how: c_int, set: *const SigSet, old: *mut SigSet) -> c_int;
    fn sigfillset(set: *mut SigSet) -> c_int;
    fn sigaction(signal: c_int, new: *const SigAction, old: *mut SigAction) -> c_int;
}

/// The function that this library stands before.
macro_rules! real {
    ($name:ident: fn($($arg:ty),*) -> $ret:ty) => {{
        static FOUND: AtomicUsize = AtomicUsize::new(0);
        let mut found = FOUND.load(Ordering::Relaxed);
        if found == 0 {
            const NAME: &str = concat!(stringify!($name), "\0");
            const RTLD_NEXT: *mut c_void = -1isize as *mut c_void;
            found = unsafe { dlsym(RTLD_NEXT, NAME.as_ptr().cast()) } as usize;
            assert!(found != 0, "no function {NAME}");
            FOUND.store(found, Ordering::Relaxed);
        }
        unsafe { mem::transmute::<usize, unsafe extern "C" fn($($arg),*) -> $ret>(found) }
    }};
}

fn errno() -> c_int {
    unsafe { *__errno_location() }
}

fn set_errno(errno: c_int) {
    unsafe { *__errno_location() = errno }
}

/// What goes wrong with a read.
#[derive(Clone, Copy)]
enum Fault {
    Fails(c_int),
    /// At most this many bytes; half of those asked for if `None`.
    Short(Option<usize>),
}

#[derive(Clone, Copy)]
enum When {
    Every(u64),
    Number(u64),
    Open,
}

/// What the environment says.
struct Settings {
    spool: Vec<u8>,
    faults: Vec<(When, Fault)>,
    log: Option<OsString>,
    /// Seconds, and reads before.
    clock_step: Option<(i64, u64)>,
    from_end: bool,
}

impl Settings {
    fn of_environment() -> Option<Settings> {
        let mut spool = env::var_os("TCPLOG_STANDIN_DEVICE")?.as_bytes().to_vec();
        spool.push(0);
        let text = |name| env::var(name).unwrap_or_default();
        let faults = text("TCPLOG_STANDIN_FAULTS");
        let faults = faults.split(',').map(str::trim).filter(|f| !f.is_empty());
        let faults = faults
            .map(|f| fault(f).unwrap_or_else(|| give_up(&format!("no fault: {f}"))))
            .collect();
        let step = text("TCPLOG_STANDIN_CLOCK_STEP");
        let clock_step = (!step.is_empty())
            .then(|| clock_step(&step).unwrap_or_else(|| give_up(&format!("no step: {step}"))));
        Some(Settings {
            spool,
            faults,
            log: env::var_os("TCPLOG_STANDIN_LOG"),
            clock_step,
            from_end: text("TCPLOG_STANDIN_START") == "end",
        })
    }

    fn fault(&self, applies: impl Fn(When) -> bool) -> Option<Fault> {
        let mut faults = self.faults.iter();
        faults
            .find(|(when, _)| applies(*when))
            .map(|(_, fault)| *fault)
    }
}

/// A test that asks for what does not exist is to fail.
fn give_up(why: &str) -> ! {
    eprintln!("tcp_log stand-in: {why}");
    std::process::abort();
}

fn fault(text: &str) -> Option<(When, Fault)> {
    let (when, what) = text.split_once('=')?;
    let when = match when.strip_prefix("every:") {
        Some(every) => When::Every(every.parse().ok().filter(|k| *k > 0)?),
        None if when == "open" => When::Open,
        None => When::Number(when.parse().ok()?),
    };
    let what = match what.strip_prefix("short") {
        Some("") => Fault::Short(None),
        Some(bytes) => Fault::Short(Some(bytes.strip_prefix(':')?.parse().ok()?)),
        None => {
            let named = ERRNOS.iter().find(|(name, _)| *name == what);
            Fault::Fails(match named {
                Some((_, errno)) => *errno,
                None => what.parse().ok()?,
            })
        }
    };
    Some((when, what))
}

/// `SECONDS after N reads`.
fn clock_step(text: &str) -> Option<(i64, u64)> {
    let (seconds, reads) = text.split_once(" after ")?;
    let reads = reads.strip_suffix(" reads")?;
    Some((seconds.parse().ok()?, reads.parse().ok()?))
}

fn settings() -> Option<&'static Settings> {
    static SETTINGS: OnceLock<Option<Settings>> = OnceLock::new();
    SETTINGS.get_or_init(Settings::of_environment).as_ref()
}

/// Calls of `read` on the device, faults and those that failed included.
static CALLS: AtomicU64 = AtomicU64::new(0);
/// Reads that returned data.
static SERVED: AtomicU64 = AtomicU64::new(0);

/// Where each message of the spool that was seen to be whole ends.
static ENDS: Mutex<Vec<u64>> = Mutex::new(Vec::new());

fn ends() -> MutexGuard<'static, Vec<u64>> {
    ENDS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Bytes from the reader's position to the end of its message; 0 if there is
/// no message.
fn rest(ends: &mut Vec<u64>, fd: c_int) -> Result<u64, c_int> {
    let at = unsafe { lseek64(fd, 0, SEEK_CUR) };
    let at = u64::try_from(at).map_err(|_| errno())?;
    while ends.last().is_none_or(|end| *end <= at) {
        let start = ends.last().copied().unwrap_or(0);
        let mut header = [0; COMMON_HEADER as usize];
        let room = header.as_mut_ptr().cast();
        let got = unsafe { pread64(fd, room, header.len(), start as i64) };
        if got < header.len() as isize {
            return Ok(0);
        }
        let mut tlch_length = [0; 8];
        tlch_length.copy_from_slice(&header[8..]);
        let len = u64::from_le_bytes(tlch_length);
        let mut last = 0u8;
        let end = start.checked_add(len).and_then(|e| i64::try_from(e).ok());
        let end = end.filter(|_| len >= COMMON_HEADER).ok_or(EIO)?;
        if unsafe { pread64(fd, (&raw mut last).cast(), 1, end - 1) } != 1 {
            return Ok(0);
        }
        ends.push(end as u64);
    }
    let message = ends.partition_point(|end| *end <= at);
    Ok(ends.get(message).map_or(0, |end| end - at))
}

/// No handler runs while this lives, so that no signal is missed between the
/// look at the spool and the sleep.
struct Held(SigSet);

impl Held {
    fn signals() -> Held {
        let mut all = SigSet([0; 128]);
        let mut before = SigSet([0; 128]);
        unsafe {
            sigfillset(&mut all);
            pthread_sigmask(SIG_SETMASK, &all, &mut before);
        }
        Held(before)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let errno = errno();
        unsafe { pthread_sigmask(SIG_SETMASK, &self.0, std::ptr::null_mut()) };
        set_errno(errno);
    }
}

/// FreeBSD goes on with a sleeping read after a handler with `SA_RESTART`.
/// Which handler ran cannot be known: only if all have the flag, it goes on.
fn goes_on_after_signals() -> bool {
    let own = |signal: c_int| {
        let mut action = SigAction {
            handler: 0,
            mask: SigSet([0; 128]),
            flags: 0,
            restorer: 0,
        };
        let known = unsafe { sigaction(signal, std::ptr::null(), &mut action) } == 0;
        // 0 and 1 are SIG_DFL and SIG_IGN.
        (known && action.handler > 1).then_some(action.flags)
    };
    // The processor's own complaints do not interrupt a sleep.
    const OWN_FAULT: [c_int; 6] = [4, 5, 6, 7, 8, 11];
    (1..=64)
        .filter(|signal| !OWN_FAULT.contains(signal))
        .filter_map(own)
        .all(|flags| flags & SA_RESTART != 0)
}

/// One `read` of `asked` bytes; `give` takes at most so many from the kernel.
fn read_device(
    settings: &Settings,
    fd: c_int,
    asked: usize,
    give: impl Fn(usize) -> isize,
) -> isize {
    let number = CALLS.fetch_add(1, Ordering::Relaxed);
    let fault = settings.fault(|when| match when {
        When::Every(k) => (number + 1).is_multiple_of(k),
        When::Number(n) => number == n,
        When::Open => false,
    });
    let most = match fault {
        Some(Fault::Short(bytes)) => asked.min(bytes.unwrap_or(asked / 2).max(1)),
        _ => asked,
    };
    // A queue entry is needed before its expansion can fail.
    let busy = matches!(fault, Some(Fault::Fails(EBUSY)));
    let result = match fault {
        Some(Fault::Fails(errno)) if !busy => Err(errno),
        _ => wait_and_give(fd, |rest| {
            if busy {
                return Err(EBUSY);
            }
            let got = give(most.min(usize::try_from(rest).unwrap_or(usize::MAX)));
            if got < 0 { Err(errno()) } else { Ok(got) }
        }),
    };
    if result.is_ok_and(|got| got > 0) {
        SERVED.fetch_add(1, Ordering::Relaxed);
    }
    if let Some(log) = &settings.log {
        let (returned, errno) = match result {
            Ok(got) => (got, 0),
            Err(errno) => (-1, errno),
        };
        let line = format!("{number} {asked} {returned} {errno}\n");
        let log = OpenOptions::new().append(true).create(true).open(log);
        let written = log.and_then(|mut log| log.write_all(line.as_bytes()));
        if let Err(e) = written {
            give_up(&format!("log: {e}"));
        }
    }
    result.unwrap_or_else(|errno| {
        set_errno(errno);
        -1
    })
}

/// Sleeps until there is a message, and lets `give` take from it.
fn wait_and_give(fd: c_int, give: impl Fn(u64) -> Result<isize, c_int>) -> Result<isize, c_int> {
    let held = Held::signals();
    loop {
        {
            let mut ends = ends();
            let rest = rest(&mut ends, fd)?;
            if rest > 0 {
                return give(rest);
            }
        }
        if unsafe { fcntl(fd, F_GETFL) } & O_NONBLOCK != 0 {
            return Err(EAGAIN);
        }
        if real_ppoll(&mut [], Some(SLICE), &held.0) < 0 {
            match errno() {
                EINTR if goes_on_after_signals() => {}
                errno => return Err(errno),
            }
        }
    }
}

fn real_ppoll(fds: &mut [PollFd], timeout: Option<Timespec>, mask: &SigSet) -> c_int {
    let real = real!(ppoll: fn(*mut PollFd, c_ulong, *const Timespec, *const SigSet) -> c_int);
    let timeout = timeout.as_ref().map_or(std::ptr::null(), |t| t as *const _);
    unsafe { real(fds.as_mut_ptr(), fds.len() as c_ulong, timeout, mask) }
}

/// Device and inode number, at the same place on all 64-bit architectures.
type Inode = (u64, u64);

fn inode(stat: *const c_void) -> Inode {
    let stat: *const u64 = stat.cast();
    unsafe { (stat.read_unaligned(), stat.add(1).read_unaligned()) }
}

/// The spool's inode, once there is one.
fn spool_inode() -> Option<Inode> {
    static INODE: OnceLock<Inode> = OnceLock::new();
    let settings = settings()?;
    if let Some(inode) = INODE.get() {
        return Some(*inode);
    }
    let saved = errno();
    let inode = inode_of(AT_FDCWD, settings.spool.as_ptr().cast(), 0);
    set_errno(saved);
    inode.map(|inode| *INODE.get_or_init(|| inode))
}

fn inode_of(dir: c_int, path: *const c_char, flags: c_int) -> Option<Inode> {
    let real = real!(fstatat64: fn(c_int, *const c_char, *mut c_void, c_int) -> c_int);
    let mut stat = Stat([0; 256]);
    let stat: *mut c_void = (&raw mut stat).cast();
    (unsafe { real(dir, path, stat, flags) } == 0).then(|| inode(stat))
}

/// The settings if `fd` is the device; leaves errno alone.
fn device(fd: c_int) -> Option<&'static Settings> {
    let spool = spool_inode()?;
    let saved = errno();
    let inode = inode_of(fd, c"".as_ptr(), AT_EMPTY_PATH);
    set_errno(saved);
    (inode == Some(spool)).then(settings).flatten()
}

fn open_at(dir: c_int, path: *const c_char, flags: c_int, mode: c_uint) -> c_int {
    let real = real!(openat64: fn(c_int, *const c_char, c_int, c_uint) -> c_int);
    let opened = || unsafe { real(dir, path, flags, mode) };
    let Some(settings) = settings() else {
        return opened();
    };
    let named = |spool: Inode| !path.is_null() && inode_of(dir, path, 0) == Some(spool);
    if !spool_inode().is_some_and(named) {
        return opened();
    }
    if let Some(Fault::Fails(errno)) = settings.fault(|when| matches!(when, When::Open)) {
        set_errno(errno);
        return -1;
    }
    if flags & (O_ACCMODE | O_APPEND | O_TRUNC) != 0 {
        set_errno(ENODEV);
        return -1;
    }
    let fd = opened();
    if fd >= 0 && settings.from_end {
        unsafe { lseek64(fd, 0, SEEK_END) };
    }
    fd
}

macro_rules! opens {
    ($($name:ident $at:ident)*) => {$(
        #[unsafe(no_mangle)]
        extern "C" fn $name(path: *const c_char, flags: c_int, mode: c_uint) -> c_int {
            open_at(AT_FDCWD, path, flags, mode)
        }

        #[unsafe(no_mangle)]
        extern "C" fn $at(
            dir: c_int,
            path: *const c_char,
            flags: c_int,
            mode: c_uint,
        ) -> c_int {
            open_at(dir, path, flags, mode)
        }
    )*};
}

opens!(open openat open64 openat64);

#[unsafe(no_mangle)]
extern "C" fn read(fd: c_int, buf: *mut c_void, len: usize) -> isize {
    let real = real!(read: fn(c_int, *mut c_void, usize) -> isize);
    match device(fd) {
        None => unsafe { real(fd, buf, len) },
        Some(settings) => read_device(settings, fd, len, |most| unsafe { real(fd, buf, most) }),
    }
}

/// Fills only the first buffer that has room, as a reader has to expect.
#[unsafe(no_mangle)]
extern "C" fn readv(fd: c_int, parts: *const IoVec, count: c_int) -> isize {
    let real = real!(readv: fn(c_int, *const IoVec, c_int) -> isize);
    match (device(fd), usize::try_from(count)) {
        (Some(_), Ok(count @ 1..)) if !parts.is_null() => {
            let parts = unsafe { std::slice::from_raw_parts(parts, count) };
            let part = parts.iter().find(|part| part.len > 0).unwrap_or(&parts[0]);
            read(fd, part.base, part.len)
        }
        _ => unsafe { real(fd, parts, count) },
    }
}

#[unsafe(no_mangle)]
extern "C" fn write(fd: c_int, buf: *const c_void, len: usize) -> isize {
    let real = real!(write: fn(c_int, *const c_void, usize) -> isize);
    if device(fd).is_some() {
        set_errno(ENODEV);
        return -1;
    }
    unsafe { real(fd, buf, len) }
}

#[unsafe(no_mangle)]
extern "C" fn poll(fds: *mut PollFd, count: c_ulong, timeout_ms: c_int) -> c_int {
    let timeout = (timeout_ms >= 0).then(|| Timespec {
        sec: i64::from(timeout_ms / 1000),
        nsec: c_long::from(timeout_ms % 1000) * 1_000_000,
    });
    let timeout = timeout.as_ref().map_or(std::ptr::null(), |t| t as *const _);
    ppoll(fds, count, timeout, std::ptr::null())
}

#[unsafe(no_mangle)]
extern "C" fn ppoll(
    fds: *mut PollFd,
    count: c_ulong,
    timeout: *const Timespec,
    mask: *const SigSet,
) -> c_int {
    let real = real!(ppoll: fn(*mut PollFd, c_ulong, *const Timespec, *const SigSet) -> c_int);
    let nothing = fds.is_null() || count == 0;
    let asked: &mut [PollFd] = if nothing {
        &mut []
    } else {
        unsafe { std::slice::from_raw_parts_mut(fds, count as usize) }
    };
    if !asked.iter().any(|one| device(one.fd).is_some()) {
        return unsafe { real(fds, count, timeout, mask) };
    }
    let timeout = (!timeout.is_null()).then(|| unsafe { *timeout });
    let held = Held::signals();
    let mask = if mask.is_null() {
        held.0
    } else {
        unsafe { *mask }
    };
    poll_with_device(asked, timeout, &mask)
}

fn poll_with_device(asked: &mut [PollFd], timeout: Option<Timespec>, mask: &SigSet) -> c_int {
    let is_device: Vec<bool> = asked.iter().map(|one| device(one.fd).is_some()).collect();
    // The kernel passes over negative descriptors.
    let mut others: Vec<PollFd> = asked.to_vec();
    for (other, is_device) in others.iter_mut().zip(&is_device) {
        if *is_device {
            other.fd = -1;
        }
    }
    let until = timeout.map(|timeout| plus(now(), timeout));
    loop {
        let mut ready = 0;
        for (one, is_device) in asked.iter_mut().zip(&is_device) {
            if *is_device {
                one.revents = device_events(one.fd, one.events);
                ready += c_int::from(one.revents != 0);
            }
        }
        let left = until.map(|until| minus(until, now()));
        let slice = match left {
            _ if ready > 0 => Timespec { sec: 0, nsec: 0 },
            Some(left) => left.min(SLICE),
            None => SLICE,
        };
        let ready_others = real_ppoll(&mut others, Some(slice), mask);
        if ready_others < 0 {
            // A signal does not undo what is ready.
            if ready == 0 || errno() != EINTR {
                return -1;
            }
            others.iter_mut().for_each(|other| other.revents = 0);
        }
        let over = left.is_some_and(|left| left <= SLICE) && ready == 0 && ready_others == 0;
        if ready > 0 || ready_others > 0 || over {
            for ((one, other), is_device) in asked.iter_mut().zip(&others).zip(&is_device) {
                if !is_device {
                    one.revents = other.revents;
                }
            }
            return ready + ready_others.max(0);
        }
    }
}

/// Whoever does not ask for input is told that all is ready.
fn device_events(fd: c_int, events: i16) -> i16 {
    match events & (POLLIN | POLLRDNORM) {
        0 => events,
        input => match rest(&mut ends(), fd) {
            Ok(0) => 0,
            _ => input,
        },
    }
}

const CLOCK_REALTIME: c_int = 0;
const CLOCK_MONOTONIC: c_int = 1;
const CLOCK_REALTIME_COARSE: c_int = 5;

fn real_clock(clock: c_int, time: *mut Timespec) -> c_int {
    let real = real!(clock_gettime: fn(c_int, *mut Timespec) -> c_int);
    unsafe { real(clock, time) }
}

fn now() -> Timespec {
    let mut time = Timespec { sec: 0, nsec: 0 };
    real_clock(CLOCK_MONOTONIC, &mut time);
    time
}

fn plus(a: Timespec, b: Timespec) -> Timespec {
    let nsec = a.nsec + b.nsec;
    Timespec {
        sec: a
            .sec
            .saturating_add(b.sec)
            .saturating_add(nsec / 1_000_000_000),
        nsec: nsec % 1_000_000_000,
    }
}

/// Not below 0.
fn minus(a: Timespec, b: Timespec) -> Timespec {
    if a <= b {
        return Timespec { sec: 0, nsec: 0 };
    }
    let borrow = i64::from(a.nsec < b.nsec);
    Timespec {
        sec: a.sec - b.sec - borrow,
        nsec: a.nsec - b.nsec + borrow * 1_000_000_000,
    }
}

#[unsafe(no_mangle)]
extern "C" fn clock_gettime(clock: c_int, time: *mut Timespec) -> c_int {
    let result = real_clock(clock, time);
    let of_day = clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE;
    if result == 0
        && of_day
        && let Some((seconds, after)) = settings().and_then(|s| s.clock_step)
        && SERVED.load(Ordering::Relaxed) >= after
    {
        unsafe { (*time).sec += seconds };
    }
    result
}

/// Makes of the spool's `struct stat` that of the device.
fn disguise(result: c_int, stat: *mut c_void) -> c_int {
    if result != 0 || Some(inode(stat)) != spool_inode() {
        return result;
    }
    #[cfg(target_arch = "x86_64")]
    const MODE: usize = 24;
    #[cfg(target_arch = "x86_64")]
    const RDEV: usize = 40;
    #[cfg(not(target_arch = "x86_64"))]
    const MODE: usize = 16;
    #[cfg(not(target_arch = "x86_64"))]
    const RDEV: usize = 32;
    const SIZE: usize = 48;
    const BLOCKS: usize = 64;
    let (major, minor) = DEVICE_NUMBER;
    let number = u64::from(major) << 8 | u64::from(minor);
    unsafe {
        stat.byte_add(MODE)
            .cast::<u32>()
            .write_unaligned(DEVICE_MODE);
        stat.byte_add(RDEV).cast::<u64>().write_unaligned(number);
        stat.byte_add(SIZE).cast::<u64>().write_unaligned(0);
        stat.byte_add(BLOCKS).cast::<u64>().write_unaligned(0);
    }
    result
}

macro_rules! stats {
    ($($name:ident($($arg:ident: $type:ty),*);)*) => {$(
        #[unsafe(no_mangle)]
        extern "C" fn $name($($arg: $type,)* stat: *mut c_void) -> c_int {
            let real = real!($name: fn($($type,)* *mut c_void) -> c_int);
            disguise(unsafe { real($($arg,)* stat) }, stat)
        }
    )*};
}

stats! {
    stat(path: *const c_char);
    stat64(path: *const c_char);
    lstat(path: *const c_char);
    lstat64(path: *const c_char);
    fstat(fd: c_int);
    fstat64(fd: c_int);
}

macro_rules! stats_at {
    ($($name:ident)*) => {$(
        #[unsafe(no_mangle)]
        extern "C" fn $name(
            dir: c_int,
            path: *const c_char,
            stat: *mut c_void,
            flags: c_int,
        ) -> c_int {
            let real = real!($name: fn(c_int, *const c_char, *mut c_void, c_int) -> c_int);
            disguise(unsafe { real(dir, path, stat, flags) }, stat)
        }
    )*};
}

stats_at!(fstatat fstatat64);

#[unsafe(no_mangle)]
extern "C" fn statx(
    dir: c_int,
    path: *const c_char,
    flags: c_int,
    wanted: c_uint,
    statx: *mut c_void,
) -> c_int {
    let real = real!(statx: fn(c_int, *const c_char, c_int, c_uint, *mut c_void) -> c_int);
    let result = unsafe { real(dir, path, flags, wanted, statx) };
    // Std asks with a null buffer whether there is such a call.
    if result != 0 || statx.is_null() {
        return result;
    }
    let saved = errno();
    // The device number is cut into two words here.
    let is_device = spool_inode().is_some_and(|spool| inode_of(dir, path, flags) == Some(spool));
    set_errno(saved);
    if is_device {
        let (major, minor) = DEVICE_NUMBER;
        unsafe {
            statx
                .byte_add(28)
                .cast::<u16>()
                .write_unaligned(DEVICE_MODE as u16);
            statx.byte_add(40).cast::<u64>().write_unaligned(0);
            statx.byte_add(48).cast::<u64>().write_unaligned(0);
            statx.byte_add(128).cast::<u32>().write_unaligned(major);
            statx.byte_add(132).cast::<u32>().write_unaligned(minor);
        }
    }
    result
}
