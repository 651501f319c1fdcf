//! A trace of the SCTP provider, read whole and in small pieces, in every form of
//! output: nothing may panic, and how the input is cut into reads changes nothing.

use std::io::{Cursor, Read};
use tcplog::sctp::write::{Form, csv::Csv, json::Json, pcapng::Pcapng};
use tcplog::sctp::{Associations, Found, Trace};

/// Reads `bytes` behind `begin`, with which the form begins.
pub fn check(begin: &[u8], bytes: &[u8]) {
    let input = || Cursor::new(begin).chain(Cursor::new(bytes));
    let whole = written(input());
    assert_eq!(whole, written(Slow(input(), 7)));
}

/// Reads a few bytes at once.
struct Slow<R>(R, usize);

impl<R: Read> Read for Slow<R> {
    fn read(&mut self, room: &mut [u8]) -> std::io::Result<usize> {
        let most = room.len().min(self.1);
        self.0.read(&mut room[..most])
    }
}

fn written(source: impl Read) -> Vec<u8> {
    let mut trace = Trace::new(source);
    let mut associations = Associations::default();
    let mut forms: [Box<dyn Form>; 3] = [
        Box::new(Json::new(true)),
        Box::new(Csv::new(true)),
        Box::new(Pcapng::new(true)),
    ];
    let mut out = Vec::new();
    let mut take = |found: Found<'_>| {
        match found {
            Found::Event(event) => {
                let member = associations.take(event, |_| true, &mut |_| {});
                let member = member.expect("all are wanted");
                forms
                    .iter_mut()
                    .for_each(|f| f.event(event, &member, &mut out));
            }
            Found::Lost(lost) => forms.iter_mut().for_each(|f| f.lost(&lost, &mut out)),
            Found::Damage(damage) => out.extend(damage.to_string().bytes()),
        }
        Ok(())
    };
    while trace.advance(&mut take).expect("taking does not fail") {}
    out
}
