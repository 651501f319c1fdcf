//! What records betray of their stack and release, judged by what is known of
//! the hosts on which the genuine streams were read.

mod support;

use support::library::learned;
use support::{family, genuine, genuine_names, stack_name};
use tcplog::format::{Release, Stack};
use tcplog::meaning::Sureness;

/// Records without a stack, in all streams together: of those with their number
/// none that tells has come yet.
const WITHOUT_STACK: usize = 30;

#[test]
fn stacks_are_those_of_the_host() {
    let (mut wrong, mut without, mut with) = (Vec::new(), 0, 0);
    for name in genuine_names() {
        learned(&genuine(&name), None, &[], |at, message, meanings| {
            for record in message.records() {
                let Some(stack) = meanings.stack_of(message, &record) else {
                    without += 1;
                    continue;
                };
                with += 1;
                assert_ne!(stack.sureness, Sureness::Named);
                let truth = stack_name(&name, record.stack_id());
                if stack.name != truth {
                    let sn = record.sn();
                    wrong.push(format!(
                        "{name} message {at} sn {sn}: {stack:?}, not {truth}"
                    ));
                }
            }
        });
    }
    assert!(wrong.is_empty(), "{} of {with}: {wrong:#?}", wrong.len());
    assert!(with > 70_000, "{with}");
    assert_eq!(without, WITHOUT_STACK);
}

#[test]
fn releases_are_those_of_the_host() {
    for name in genuine_names() {
        let bytes = genuine(&name);
        let (mut rack, mut dialect) = (false, None);
        let meanings = learned(&bytes, None, &[], |_, message, _| {
            rack |= message
                .records()
                .any(|r| stack_name(&name, r.stack_id()) == Stack::Rack.name());
            dialect = Some(message.dialect().version);
        });
        let release = meanings.evidence().release(dialect.unwrap());
        let truth = Release::from_name(family(&name)).unwrap();
        if truth >= Release::R15 {
            // Nothing tells 15 from what comes after it.
            assert!(!rack || release >= truth, "{name}: {release}");
        } else {
            assert!(!rack || release == truth, "{name}: {release}");
        }
        // What the records rule out is never said.
        assert!(release >= truth, "{name}: {release}");
    }
}
