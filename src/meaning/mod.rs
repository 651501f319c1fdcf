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
pub use explained::{Explained, Number, SequenceBase, may_be_pointer};
pub use plan::{Field, Label, Plan, RawCell};
pub use stacks::StackNames;

use crate::bblog::{Message, Record};
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
    label: Label,
    plans: Vec<Arc<Plan>>,
}

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
            label,
            plans: Vec::new(),
        }
    }

    /// Another input begins: it may come from another host.
    pub fn forget(&mut self) {
        self.evidence = Evidence::default();
    }

    /// Gathers what the records of a piece betray. To be called before they
    /// are explained, and for every piece, whatever is wanted of it.
    pub fn learn(&mut self, message: &Message<'_>) {
        for record in message.records() {
            self.evidence.learn(&record);
        }
    }

    pub fn evidence(&self) -> &Evidence {
        &self.evidence
    }

    /// Goes on from what another gathered.
    pub fn set_evidence(&mut self, evidence: Evidence) {
        self.evidence = evidence;
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

    /// The family of the record's stack: by what the record itself shows, else
    /// by the stack's name, else by what other records with its number betray.
    #[inline]
    pub fn family(&self, message: &Message<'_>, record: &Record<'_>) -> Option<Stack> {
        Evidence::sign(record)
            .or_else(|| Stack::of_name(self.stacks.of(message, record)?))
            .or_else(|| Some(self.evidence.stack(record.stack_id())?.0))
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
