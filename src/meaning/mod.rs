//! What a record says: its payload by name, and a sentence.
//!
//! The tables of [`crate::format::payload`] say what the cells of an event
//! mean for a stack, a sub-type and a release. The records do not name any of
//! these but the sub-type, so [`Evidence`] gathers what betrays them, and
//! [`Meanings`] picks the payload that fits a record.

mod evidence;
mod explained;
mod plan;
mod stacks;
pub mod units;

pub use evidence::{Evidence, Sureness};
pub use explained::{Explained, Number, SequenceBase, Shown, Value};
pub use plan::{Field, Label, Plan, RawCell};
pub use stacks::StackNames;

use crate::bblog::{Message, Record, Records};
use crate::format::{Dialect, Formats, Release, Stack};
use std::sync::Arc;

/// Explains records of one input after the other.
#[derive(Clone, Debug)]
pub struct Meanings {
    pub formats: &'static Formats,
    pub stacks: StackNames,
    /// What the user said; else evidence decides.
    release: Option<Release>,
    evidence: Evidence,
    /// Bytes of the piece at hand that evidence was gathered from.
    learned: usize,
    label: Label,
    plans: Vec<Arc<Plan>>,
}

/// Records at the beginning of a message that are looked at first. Framing
/// hands out at least as many together.
const LOOK_AHEAD: usize = 128;

/// The stack of a record: what to call it, and how that is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StackOf<'a> {
    pub name: &'a str,
    pub sureness: Sureness,
}

impl Meanings {
    /// `label` makes the name of a field what the form at hand writes.
    pub fn new(
        formats: &'static Formats,
        release: Option<Release>,
        stacks: StackNames,
        label: Label,
    ) -> Meanings {
        Meanings {
            formats,
            stacks,
            release,
            evidence: Evidence::default(),
            learned: 0,
            label,
            plans: Vec::new(),
        }
    }

    /// Another input begins: it may come from another host.
    pub fn forget(&mut self) {
        self.evidence = Evidence::default();
    }

    /// A piece begins, whatever is wanted of it. The first records of a
    /// message are looked at before any of them is explained; from there on
    /// only those before a record, and itself, count for it. So what is said
    /// of a record does not depend on how the input was read.
    pub fn begin(&mut self, message: &Message<'_>) {
        self.learned = 0;
        if message.first {
            let first: usize = message
                .records()
                .take(LOOK_AHEAD)
                .map(|record| record.bytes().len())
                .sum();
            self.learn_until(message, first);
        }
    }

    /// Gathers what the records up to this one betray.
    #[inline]
    pub fn reach(&mut self, message: &Message<'_>, record: &Record<'_>) {
        // Both lie in the same bytes.
        let at = record.bytes().as_ptr().addr() - message.records.as_ptr().addr();
        if at < self.learned {
            return;
        }
        self.learn_until(message, at + 1);
    }

    /// Gathers what a whole piece betrays, for who explains nothing before.
    pub fn learn(&mut self, message: &Message<'_>) {
        self.begin(message);
        self.end(message);
    }

    /// Gathers what the rest of the piece betrays.
    pub fn end(&mut self, message: &Message<'_>) {
        self.learn_until(message, usize::MAX);
    }

    /// Learns the records that begin before `end`.
    fn learn_until(&mut self, message: &Message<'_>, end: usize) {
        let rest = message.records.get(self.learned..).unwrap_or(&[]);
        for record in Records::new(rest, message.dialect()) {
            if self.learned >= end {
                break;
            }
            self.evidence.learn(&record);
            self.learned += record.bytes().len();
        }
    }

    pub fn evidence(&self) -> &Evidence {
        &self.evidence
    }

    /// Goes on from what another gathered; gives back what was known.
    pub fn set_evidence(&mut self, evidence: Evidence) -> Evidence {
        std::mem::replace(&mut self.evidence, evidence)
    }

    /// The release by which records of `dialect` are explained: what the user
    /// said, else the newest that the evidence allows.
    pub fn release(&self, dialect: &Dialect) -> Release {
        self.release
            .unwrap_or_else(|| self.evidence.release(dialect.version))
    }

    /// The tables for `dialect`, made when first asked for.
    pub fn plan(&mut self, dialect: &Dialect) -> Arc<Plan> {
        let release = self.release(dialect);
        let known = self.plans.iter().find(|plan| plan.is_for(dialect, release));
        match known {
            Some(plan) => Arc::clone(plan),
            None => {
                let plan = Arc::new(Plan::new(self.formats, dialect, release, self.label));
                self.plans.push(Arc::clone(&plan));
                plan
            }
        }
    }

    /// The record's stack: its name from the user or the source, else that of
    /// the family which the records with its number betray.
    #[inline]
    pub fn stack_of<'a>(
        &'a self,
        message: &Message<'a>,
        record: &Record<'_>,
    ) -> Option<StackOf<'a>> {
        if let Some(name) = self.stacks.of(message, record) {
            return Some(StackOf {
                name,
                sureness: Sureness::Named,
            });
        }
        let (family, sureness) = self.evidence.stack(record.stack_id())?;
        Some(StackOf {
            name: family.name(),
            sureness,
        })
    }

    /// The family of the record's stack: by the stack's name, else by what the
    /// record itself shows, else by what other records with its number betray.
    ///
    /// RACK and BBR log while the base stack still has the connection, so
    /// under its name the record itself is asked first.
    #[inline]
    pub fn family(&self, message: &Message<'_>, record: &Record<'_>) -> Option<Stack> {
        let named = self.stacks.of(message, record).and_then(Stack::of_name);
        match named {
            Some(Stack::Rack | Stack::Bbr) => named,
            named => Evidence::sign(record)
                .or(named)
                .or_else(|| Some(self.evidence.stack(record.stack_id())?.0)),
        }
    }

    /// Explains a record by the tables of `plan`.
    #[inline]
    pub fn explain<'p, 'r>(
        &self,
        plan: &'p Plan,
        message: &Message<'_>,
        record: &Record<'r>,
    ) -> Explained<'p, 'r> {
        Explained::new(plan, *record, self.family(message, record))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::samples::{Sample, v9};
    use std::sync::OnceLock;

    /// Payloads made for these tests, besides the embedded ones.
    fn formats() -> &'static Formats {
        static FORMATS: OnceLock<Formats> = OnceLock::new();
        FORMATS.get_or_init(|| {
            let dir = tempfile::tempdir().expect("a directory");
            let file = r#"
                codes = [{ name = "moods", code = [{ value = 3, name = "IN_TWO_MINDS" }] }]
                bits = [{ name = "hats", bit = [{ mask = 1, name = "TOP" }, { mask = 4, name = "HARD" }] }]
                [[payload]]
                event = 200
                name = "special"
                when = { flex8 = [7, "9..10"] }
                class = "loss"
                says = "special"
                [[payload]]
                event = 200
                name = "plain"
                says = "took {took_us}[, sent {sent} to {end}][, late {late_us}], {calm?calm|nervous}: {mood}, {hats}"
                fields = [
                  ["took_us", "flex1", "us", ""],
                  ["sent", "flex2", "bytes", ""],
                  ["end", "flex3", "seq", ""],
                  ["late_us", "flex4", "signed us", ""],
                  ["calm", "flex7[1]", "bool", ""],
                  ["mood", "bbr_state", "code moods", ""],
                  ["hats", "bbr_substate", "flags hats", ""],
                  ["large", "flex5:flex6", "count", ""],
                  ["where", "rttProp", "pointer", ""],
                ]
                [[payload]]
                event = 201
                name = "outside"
                says = "number {number} of {all}"
                fields = [["number", "tlb_flex1", "count", ""], ["all", "tlb_flex2[8..15]", "count", ""]]
            "#;
            std::fs::write(dir.path().join("mine.toml"), file).expect("a file");
            Formats::load(Some(dir.path())).expect("good formats")
        })
    }

    fn meanings(stacks: &[(u8, String)]) -> Meanings {
        Meanings::new(formats(), None, StackNames::new(stacks), |name| {
            name.as_bytes().to_vec()
        })
    }

    /// What is said of a record, its named fields, and its class.
    fn explained(event: u8, fields: &[(&str, u64)]) -> (String, Vec<(String, Number)>, bool) {
        let mut sample = Sample::new(v9());
        let zero = formats()
            .view("tcp_log_bbr")
            .expect("embedded")
            .fields
            .iter();
        let zero: Vec<String> = zero
            .map(|cell| format!("tlb_stackinfo.{}", cell.name))
            .collect();
        let mut all: Vec<(&str, u64)> = zero.iter().map(|name| (name.as_str(), 0)).collect();
        all.extend_from_slice(fields);
        sample.record(event, 1, &all);
        let message = sample.message();
        let mut meanings = meanings(&[]);
        let plan = meanings.plan(message.dialect());
        let record = message.records().next().expect("one record");
        let explained = meanings.explain(&plan, &message, &record);
        let mut says = Vec::new();
        explained.says(
            &mut says,
            SequenceBase {
                local: Some(1000),
                peer: None,
            },
        );
        let named = explained
            .fields()
            .map(|(field, value)| (field.name.to_owned(), value));
        let is_loss = explained.class() == Some(crate::format::Class::Loss);
        (
            String::from_utf8(says).expect("UTF-8"),
            named.collect(),
            is_loss,
        )
    }

    const INFO: (&str, u64) = ("tlb_eventflags", 0x10);

    #[test]
    fn a_sentence_with_all_its_parts() {
        let fields = [
            INFO,
            ("tlb_stackinfo.flex1", 1500),
            ("tlb_stackinfo.flex2", 1),
            ("tlb_stackinfo.flex3", 1100),
            ("tlb_stackinfo.flex4", (-20i32) as u32 as u64),
            ("tlb_stackinfo.flex5", 1),
            ("tlb_stackinfo.flex6", 2),
            ("tlb_stackinfo.flex7", 2),
            ("tlb_stackinfo.bbr_state", 3),
            ("tlb_stackinfo.bbr_substate", 0x15),
        ];
        let (says, named, _) = explained(200, &fields);
        let expected =
            "took 1.5 ms, sent 1 byte to 100, late -20 µs, calm: in two minds, TOP|HARD|0x10";
        assert_eq!(says, expected);
        let value = |name: &str| {
            named
                .iter()
                .find(|(n, _)| n == name)
                .map(|(_, value)| *value)
        };
        assert_eq!(value("large"), Some(Number::Unsigned((1 << 32) + 2)));
        assert_eq!(value("late_us"), Some(Number::Signed(-20)));
        assert_eq!(value("calm"), Some(Number::Unsigned(1)));
    }

    #[test]
    fn parts_without_anything_to_say_are_left_out() {
        let (says, _, is_loss) = explained(200, &[INFO]);
        // A code without a name, and no flags, are numbers.
        assert_eq!(
            (says.as_str(), is_loss),
            ("took 0 µs, nervous: 0, 0", false)
        );
    }

    #[test]
    fn conditions_choose() {
        for (flex8, expected) in [(7, true), (8, false), (9, true), (10, true), (11, false)] {
            let (_, _, is_loss) = explained(200, &[INFO, ("tlb_stackinfo.flex8", flex8)]);
            assert_eq!(is_loss, expected, "flex8 = {flex8}");
        }
    }

    #[test]
    fn what_the_record_lacks_is_not_said() {
        let (says, named, _) = explained(200, &[]);
        assert_eq!((says.as_str(), named.len()), ("event 200", 0));
        let fields = [("tlb_flex1", 5), ("tlb_flex2", 0x1234)];
        let (says, named, _) = explained(201, &fields);
        assert_eq!((says.as_str(), named.len()), ("number 5 of 18", 2));
    }

    #[test]
    fn addresses_are_found() {
        let kernel = 0xffff_ff80_0012_3456;
        let mut sample = Sample::new(v9());
        let fields = [
            INFO,
            ("tlb_stackinfo.rttProp", 5),
            ("tlb_stackinfo.delRate", kernel),
        ];
        sample.record(200, 1, &fields);
        let message = sample.message();
        let mut meanings = meanings(&[]);
        let plan = meanings.plan(message.dialect());
        let record = message.records().next().expect("one record");
        let (_, masked) = meanings
            .explain(&plan, &message, &record)
            .bytes()
            .expect("bytes");
        // delRate at 8 looks like one, rttProp at 16 is one by name.
        let expected: Vec<bool> = (0..104).map(|at| (8..24).contains(&at)).collect();
        assert_eq!(masked, expected);
    }

    #[test]
    fn stacks_by_name_then_by_what_they_wrote() {
        let mut sample = Sample::new(v9());
        let rack = [INFO, ("tlb_stackid", 2), ("tlb_stackinfo.bbr_state", 0)];
        let bbr = [INFO, ("tlb_stackid", 3), ("tlb_stackinfo.bbr_state", 1)];
        sample
            .record(1, 1, &rack)
            .record(2, 2, &bbr)
            .record(1, 3, &[]);
        sample.record(31, 4, &[("tlb_stackid", 2)]);
        let message = sample.message();
        let names = |stacks: &[(u8, String)], learn: bool| -> Vec<Option<(String, Sureness)>> {
            let mut meanings = meanings(stacks);
            if learn {
                meanings.begin(&message);
            }
            Records::new(&sample.records, message.dialect())
                .map(|record| {
                    meanings
                        .stack_of(&message, &record)
                        .map(|s| (s.name.to_owned(), s.sureness))
                })
                .collect()
        };
        let likely = |name: &str| Some((name.to_owned(), Sureness::Likely));
        let expected = [
            likely("rack"),
            likely("bbr"),
            likely("freebsd"),
            likely("rack"),
        ];
        assert_eq!(names(&[], true), expected);
        assert_eq!(names(&[], false), [const { None }; 4]);
        let named = names(&[(2, "mine".to_owned())], true);
        assert_eq!(named[0], Some(("mine".to_owned(), Sureness::Named)));
        assert_eq!(named[1], likely("bbr"));
    }

    #[test]
    fn releases_by_what_came_when() {
        let release = |records: &[(u8, Vec<(&str, u64)>)]| {
            let mut sample = Sample::new(v9());
            for (sn, (event, fields)) in records.iter().enumerate() {
                sample.record(*event, sn as u32, fields);
            }
            let message = sample.message();
            let mut meanings = meanings(&[]);
            meanings.end(&message);
            meanings.release(message.dialect())
        };
        let timer = |lost| {
            vec![
                INFO,
                ("tlb_stackinfo.bbr_state", 0),
                ("tlb_stackinfo.lost", lost),
            ]
        };
        assert_eq!(release(&[]), Release::Main);
        assert_eq!(release(&[(13, timer(0))]), Release::R13_0);
        assert_eq!(release(&[(13, timer(30_000))]), Release::Main);
        assert_eq!(release(&[(54, vec![])]), Release::R13);
        assert_eq!(release(&[(54, vec![INFO])]), Release::Main);
        // Newer signs win: what is missing proves less than what is there.
        assert_eq!(release(&[(13, timer(0)), (66, vec![])]), Release::R14);
        assert_eq!(
            release(&[(54, vec![]), (3, vec![("tlb_flex2", 1)])]),
            Release::R14
        );
    }
}
