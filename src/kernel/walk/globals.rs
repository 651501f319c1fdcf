//! Variables of the kernel: clocks, TCP stacks, network stack instances.

use super::Walk;

/// A network stack instance (VNET): the host's or a jail's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Vnet {
    /// Its `struct vnet`; `None` in a kernel without VIMAGE.
    pub address: Option<u64>,
    /// Its `tcbinfo`.
    pub tcbinfo: u64,
}

/// What `vnet_magic_n` holds.
const VNET_MAGIC: u64 = 0x5e4a_6f28;
/// The bounds of `hz` that a kernel accepts.
const HZ: std::ops::RangeInclusive<u32> = 1..=1_000_000;
/// Jails with their own network stack are not more.
const MAX_VNETS: usize = 1 << 16;
/// A stack's id is one byte.
const MAX_STACKS: usize = 256;

impl Walk<'_> {
    pub(super) fn globals(&mut self) {
        self.walked.hz = self.int("hz").filter(|hz| HZ.contains(hz));
        let ticks = match self.kernel.symbols.contains_key("ticks") {
            true => "ticks",
            false => "ticksl",
        };
        self.walked.ticks = self.int(ticks);
        if let Some(at) = self.symbol("version") {
            let text = self.view.text(at, 256);
            let line = text.or_else(|| first_line(self.view.bytes(at, 256)?));
            self.walked.version = line.filter(|text| !text.is_empty());
        }
        if let (Some(file), Some(memory)) = (&self.kernel.version, &self.walked.version)
            && file != memory
        {
            let what = format!("the kernel file is {file:?}, the image is of {memory:?}");
            self.problem(what);
        }
        self.walked.boot_us = self.boot_time();
    }

    /// An `int`; of a `long`, its lower half.
    fn int(&mut self, name: &str) -> Option<u32> {
        let address = self.symbol(name)?;
        let size = match (name, self.kernel.pointer) {
            ("ticksl", 8) => 8,
            _ => 4,
        };
        let value = self.view.integer(address, size);
        if value.is_none() {
            self.problem(format!("{name} at {address:#x} is not in the image"));
        }
        value.map(|value| value as u32)
    }

    /// From 12 on the current timehands know it; before, `boottimebin` did.
    fn boot_time(&mut self) -> Option<i64> {
        let at = if let Some(&old) = self.kernel.symbols.get("boottimebin") {
            old
        } else {
            let hands = self.symbol("timehands")?;
            let hands = self.pointer("timehands", hands)?;
            let field = "th_boottime.sec";
            let at = self.view.address("timehands", hands, field);
            if at.is_none() {
                self.problem("the offset of th_boottime is not known");
            }
            at?
        };
        // time_t has 64 bits everywhere but on i386; the fraction follows it.
        let wide = self.view.place("timehands", "th_boottime.sec");
        let wide = wide.map_or(8, |place| place.size as usize);
        let read = || {
            let seconds = self.view.integer(at, wide)?;
            let fraction = self.view.integer(at.checked_add(wide as u64)?, 8)?;
            Some((seconds, fraction))
        };
        let Some((seconds, fraction)) = read() else {
            self.problem(format!("the boot time at {at:#x} is not in the image"));
            return None;
        };
        let micros = (u128::from(fraction) * 1_000_000) >> 64;
        let us = i64::try_from(seconds).ok()?.checked_mul(1_000_000)?;
        us.checked_add(micros as i64)
    }

    pub(super) fn stacks(&mut self) {
        if !self.knows("tcp_function_block") {
            return;
        }
        let mut blocks = Vec::new();
        if let Some(head) = self.symbol("t_functions")
            && self.knows("tcp_function")
            && let Some(first) = self.pointer("t_functions", head)
        {
            self.list("tcp_function", first, "tf_next", |_, entry| {
                blocks.extend(entry.get("tf_fb"));
                blocks.len() < MAX_STACKS
            });
        }
        if blocks.is_empty() {
            blocks.extend(self.symbol("tcp_def_funcblk"));
        }
        for block in blocks {
            self.walked.stacks.extend(self.stack(block));
        }
        self.walked.stacks.sort();
        self.walked.stacks.dedup();
    }

    /// Id and name of the stack of a `struct tcp_function_block`.
    pub(super) fn stack(&self, block: u64) -> Option<(u8, String)> {
        let block = self.view.object("tcp_function_block", block)?;
        let id = u8::try_from(block.get("tfb_id")?).ok()?;
        let name = block.text("tfb_tcp_block_name")?;
        (!name.is_empty()).then_some((id, name))
    }

    pub(super) fn vnets(&mut self) {
        let symbols = &self.kernel.symbols;
        let Some(&entry) = symbols.get("vnet_entry_tcbinfo") else {
            // Without VIMAGE a variable is a variable.
            if let Some(tcbinfo) = self.symbol("tcbinfo") {
                let address = None;
                self.walked.vnets.push(Vnet { address, tcbinfo });
            }
            return;
        };
        let head = symbols.get("vnet_head").or_else(|| symbols.get("vnet0"));
        let Some(&head) = head else {
            return self.problem("the kernel file has no symbol vnet_head");
        };
        if !self.knows("vnet") {
            return;
        }
        let Some(first) = self.pointer("vnet_head", head) else {
            return;
        };
        let mut found = Vec::new();
        self.list("vnet", first, "vnet_le", |walk, vnet| {
            if vnet.get("vnet_magic_n") != Some(VNET_MAGIC) {
                walk.problem(format!("what is at {:#x} is no struct vnet", vnet.address));
                return false;
            }
            // The base can be below zero: it is the instance's own data less
            // where the linker put the originals.
            if let Some(base) = vnet.get("vnet_data_base") {
                found.push(Vnet {
                    address: Some(vnet.address),
                    tcbinfo: base.wrapping_add(entry),
                });
            }
            found.len() < MAX_VNETS
        });
        self.walked.vnets = found;
    }
}

fn first_line(bytes: Vec<u8>) -> Option<String> {
    let end = bytes.iter().position(|byte| matches!(byte, 0 | b'\n'))?;
    let line = String::from_utf8_lossy(bytes.get(..end)?).into_owned();
    (!line.chars().any(char::is_control)).then_some(line)
}
