//! Which columns there are, and which field of a dialect stands in each.

use super::quoted;
use crate::format::Formats;
use crate::output::fields::{FieldSets, Fields};
use std::io::Write;

/// Columns whose values a message gives.
const MESSAGE: &str =
    "source,log_id,tag,reason,local_addr,local_port,foreign_addr,foreign_port,zone";
/// Columns of each record, up to the state.
const HEAD: &str =
    "time,uptime_us,ticks,sn,stack_id,stack,stack_sureness,event_id,event,event_flags,errno";
/// The smoothed RTT in one unit, and columns of the parts that flags govern.
const PARTS: &str = "srtt_us,rxbuf_acc,rxbuf_ccc,txbuf_acc,txbuf_ccc,len,tcp_src_port,tcp_dst_port,tcp_seq,\
                     tcp_ack,tcp_flags,tcp_window,tcp_checksum,tcp_urgent,tcp_options,\
                     verbose_caller,verbose_function,verbose_line";
/// Columns that say what the event means.
const MEANING: &str = "payload,meaning";

/// Names of the columns that layouts give.
pub(super) struct Columns {
    pub state: Vec<String>,
}

/// For each column of the state, which field of a dialect stands there.
pub(super) struct Places {
    pub state: Vec<Option<usize>>,
}

impl Columns {
    pub fn new(formats: &'static Formats) -> Columns {
        let mut columns = Columns { state: Vec::new() };
        let mut sets = FieldSets::new(|_| Vec::new());
        // The canonical version gives the order; what only others have
        // follows.
        let all = formats.dialects.iter().map(AsRef::as_ref);
        for dialect in [Formats::canonical().as_ref()].into_iter().chain(all) {
            for cell in &sets.of(dialect).cells {
                if !columns.state.contains(&cell.name) {
                    columns.state.push(cell.name.clone());
                }
            }
        }
        columns
    }

    pub fn header(&self, out: &mut Vec<u8>) {
        // Writing to a vector does not fail.
        let _ = write!(out, "schema,kind,{MESSAGE},{HEAD}");
        for name in &self.state {
            out.push(b',');
            quoted(out, name.as_bytes());
            if name == "state" {
                out.extend_from_slice(b",state_name");
            }
        }
        let _ = writeln!(out, ",{PARTS},{MEANING},count");
    }

    /// How many columns stand between the message's and `sn`, and between `sn`
    /// and `count`.
    pub fn around_sn(&self) -> (usize, usize) {
        let before = HEAD.split(',').take_while(|name| *name != "sn").count();
        let names = usize::from(self.state.iter().any(|name| name == "state"));
        let fixed = [HEAD, PARTS, MEANING].map(|names| names.split(',').count());
        let all = fixed.iter().sum::<usize>() + names + self.state.len();
        (before, all - before - 1)
    }

    pub fn places(&self, fields: &Fields) -> Places {
        let of = |name: &String| fields.cells.iter().position(|cell| cell.name == *name);
        Places {
            state: self.state.iter().map(of).collect(),
        }
    }
}
