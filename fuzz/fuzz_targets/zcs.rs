#![no_main]

use tcplog::select::Select;
use tcplog::zcs::{self, Asked, Form, FrameSink, InfoForm, InfoSink, Item, Log, ShowSink, Sink};

// Whatever a log says, every form of it can be written, and malformed lines
// come in order.
libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let _ = zcs::recognises(data);
    let (mut log, mut line) = (Log::new(data), 1);
    while let Ok(Some(item)) = log.next_item() {
        let at = match item {
            Item::Entry(entry) => entry.line,
            Item::Damage(damage) => damage.line,
        };
        assert!(line <= at, "{line} {at}");
        line = at;
    }
    let everything = Select::default();
    let asked = Asked::new(&everything);
    let mut forms: [Box<dyn Sink>; 6] = [
        Box::new(ShowSink::new(Form::Text, Vec::new())),
        Box::new(ShowSink::new(Form::Json, Vec::new())),
        Box::new(ShowSink::new(Form::Csv, Vec::new())),
        Box::new(InfoSink::new(InfoForm::Text, Vec::new())),
        Box::new(InfoSink::new(InfoForm::Json, Vec::new())),
        Box::new(FrameSink::new(true, Vec::new())),
    ];
    for form in &mut forms {
        zcs::read(data, "log", &asked, &mut **form, &mut |_, _| {}).expect("no sink fails");
    }
});
