//! Why a connection ended, as far as its log shows it.

use crate::bblog::Record;
use crate::bblog::tcp::{FIN, RST};
use crate::format::EventId;

/// The serial numbers of what ends a connection; of each the first one.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ending {
    pub fin_sent_sn: Option<u32>,
    pub fin_received_sn: Option<u32>,
    pub rst_sent_sn: Option<u32>,
    pub rst_received_sn: Option<u32>,
    pub connend_sn: Option<u32>,
    /// End codes of CONNEND (from 14 on), in order; 0 is none.
    pub codes: [u8; 8],
}

impl Ending {
    #[inline]
    pub fn record(&mut self, record: &Record<'_>) {
        let event = record.event();
        if event == EventId::CONNEND {
            self.connend_sn.get_or_insert(record.sn());
            let bytes = record.stackinfo().map(|info| info.bytes());
            if let Some(codes) = bytes.and_then(|bytes| bytes.first_chunk()) {
                self.codes = *codes;
            }
            return;
        }
        let flags = record.tcp().map_or(0, |tcp| tcp.flags());
        if flags & (FIN | RST) == 0 {
            return;
        }
        let (fin, rst) = match event {
            EventId::IN => (&mut self.fin_received_sn, &mut self.rst_received_sn),
            EventId::OUT => (&mut self.fin_sent_sn, &mut self.rst_sent_sn),
            _ => return,
        };
        if flags & RST != 0 {
            rst.get_or_insert(record.sn());
        } else {
            fin.get_or_insert(record.sn());
        }
    }
}
