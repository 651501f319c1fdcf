//! Which columns there are, and which field of a dialect stands in each.

use super::quoted;
use crate::format::Formats;
use crate::output::context::Context;
use crate::output::fields::{Cell, Plan, Plans};
use std::io::Write;

/// Columns whose values a message gives.
const MESSAGE: &str =
    "source,log_id,tag,reason,local_addr,local_port,foreign_addr,foreign_port,zone";
/// Columns of each record, up to the state.
const HEAD: &str = "time,uptime_us,ticks,sn,stack_id,stack,event_id,event,event_flags,errno";
/// Columns of the parts that flags govern.
const PARTS: &str = "rxbuf_acc,rxbuf_ccc,txbuf_acc,txbuf_ccc,len,tcp_src_port,tcp_dst_port,tcp_seq,\
                     tcp_ack,tcp_flags,tcp_window,tcp_checksum,tcp_urgent,tcp_options,\
                     verbose_caller,verbose_function,verbose_line";
/// Names of the columns that layouts give.
pub(super) struct Columns {
    pub state: Vec<String>,
    pub payload: Vec<String>,
}

/// For each of [`Columns`], which cell of a plan stands there.
pub(super) struct Places {
    pub state: Vec<Option<usize>>,
    /// By view.
    pub payload: Vec<Vec<Option<usize>>>,
}

impl Columns {
    pub fn new(formats: &'static Formats, plans: &mut Plans, context: &Context) -> Columns {
        let mut columns = Columns {
            state: Vec::new(),
            payload: Vec::new(),
        };
        // The canonical version gives the order; what only others have
        // follows.
        let all = formats.dialects.iter().map(AsRef::as_ref);
        for dialect in [Formats::canonical().as_ref()].into_iter().chain(all) {
            let plan = plans.of(dialect, context);
            add_new(&mut columns.state, &plan.state);
            for view in &plan.views {
                add_new(&mut columns.payload, view);
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
        let _ = write!(out, ",{PARTS}");
        for name in &self.payload {
            out.push(b',');
            quoted(out, format!("payload_{name}").as_bytes());
        }
        out.extend_from_slice(b",count\n");
    }

    /// How many columns stand between the message's and `sn`, and between `sn`
    /// and `count`.
    pub fn around_sn(&self) -> (usize, usize) {
        let before = HEAD.split(',').take_while(|name| *name != "sn").count();
        let names = usize::from(self.state.iter().any(|name| name == "state"));
        let fixed = HEAD.split(',').count() + PARTS.split(',').count();
        let all = fixed + names + self.state.len() + self.payload.len();
        (before, all - before - 1)
    }

    pub fn places(&self, plan: &Plan) -> Places {
        let place = |columns: &[String], cells: &[Cell]| {
            let of = |name: &String| cells.iter().position(|cell| cell.name == *name);
            columns.iter().map(of).collect()
        };
        Places {
            state: place(&self.state, &plan.state),
            payload: plan
                .views
                .iter()
                .map(|view| place(&self.payload, view))
                .collect(),
        }
    }
}

fn add_new(columns: &mut Vec<String>, cells: &[Cell]) {
    for cell in cells {
        if !columns.contains(&cell.name) {
            columns.push(cell.name.clone());
        }
    }
}
