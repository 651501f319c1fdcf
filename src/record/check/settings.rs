//! Readiness of the kernel: will it log, hand over what it logged, and is it
//! understood?

use super::Finding;
use crate::record::kernel::{Mode, Settings};

const KERNEL: &str = "kernel";
const LOG_ALL: &str = "to have every connection logged: sysctl net.inet.tcp.bb.log_auto_mode=4 \
                       net.inet.tcp.bb.log_auto_all=1 net.inet.tcp.bb.log_auto_ratio=1";

/// `known`: the record versions whose layouts are known; `stacks`: by id.
pub(super) fn check(kernel: &Settings, known: &[u32], stacks: &[(u8, String)]) -> Vec<Finding> {
    let Some(version) = kernel.log_version else {
        return vec![Finding::problem(
            KERNEL,
            "there is no net.inet.tcp.bb.log_version: the kernel has no black box",
            "boot a kernel with options TCP_BLACKBOX; GENERIC of the 64-bit platforms has it",
        )];
    };
    let mut found = vec![if known.contains(&version) {
        Finding::ok(KERNEL, format!("it writes records of version {version}"))
    } else {
        Finding::problem(
            KERNEL,
            format!("it writes records of version {version}, which are not known"),
            "take a newer release of tcplog",
        )
    }];
    if kernel.disable_all == Some(true) {
        found.push(Finding::problem(
            KERNEL,
            "all logging is switched off",
            "sysctl net.inet.tcp.bb.disable_all=0",
        ));
    }
    found.push(chosen(kernel));
    found.extend(trace_point(kernel));
    found.extend(limits(kernel));
    found.push(loaded(stacks));
    found
}

/// Which connections the kernel logs by itself.
fn chosen(kernel: &Settings) -> Finding {
    let ratio = kernel.log_auto_ratio.unwrap_or(0);
    if ratio == 0 {
        return Finding::warning(
            KERNEL,
            "it logs no connection by itself (log_auto_ratio is 0): records come only from \
             programs that set TCP_LOG on their sockets, and from trace points",
            LOG_ALL,
        );
    }
    let mode = kernel.log_auto_mode.unwrap_or(Mode::TAIL);
    let of = match ratio {
        1 => "every connection".to_owned(),
        ratio => format!("one of {ratio} connections"),
    };
    let with = match kernel.log_auto_all {
        Some(true) => "",
        _ => " with a log ID",
    };
    let what = format!("it logs {of}{with} in mode {}", named(mode));
    if mode.dumps_by_itself() {
        return Finding::ok(KERNEL, what);
    }
    Finding::warning(
        KERNEL,
        format!("{what}, which it does not hand over by itself"),
        "sysctl net.inet.tcp.bb.log_auto_mode=4 (CONTINUAL: all records), 3 (HEAD_AUTO: the \
         first ones) or 5 (TAIL_AUTO: the last ones)",
    )
}

fn trace_point(kernel: &Settings) -> Option<Finding> {
    const ALL: i64 = 0xffff_ffff;
    let count = kernel.tp_count.filter(|count| *count > 0)?;
    let point = match kernel.tp_number? {
        0 => return None,
        ALL => "any trace point".to_owned(),
        number => format!("trace point {number}"),
    };
    let mode = named(kernel.tp_bbmode?);
    let what = format!("{count} more connections that reach {point} are logged in mode {mode}");
    Some(Finding::ok(KERNEL, what))
}

fn named(mode: Mode) -> String {
    match mode.name() {
        Some(name) => format!("{} ({name})", mode.0),
        None => mode.0.to_string(),
    }
}

/// How many records it keeps until they are read.
fn limits(kernel: &Settings) -> Vec<Finding> {
    let mut found = Vec::new();
    match kernel.log_session_limit {
        Some(limit) if limit <= 0 => found.push(Finding::warning(
            KERNEL,
            "it keeps no record of a connection (log_session_limit is 0)",
            "sysctl net.inet.tcp.bb.log_session_limit=5000",
        )),
        Some(limit) => {
            let what = format!("it keeps {limit} records of a connection until they are read");
            found.push(Finding::ok(KERNEL, what));
        }
        None => {}
    }
    let entries = kernel.log_global_entries.unwrap_or(0);
    match kernel.log_global_limit {
        // A tenth is left: the next burst may be lost.
        Some(limit) if limit > 0 && entries >= limit - limit / 10 => {
            found.push(Finding::warning(
                KERNEL,
                format!("it holds {entries} records of {limit} at most; more are lost"),
                "raise net.inet.tcp.bb.log_global_limit, or log less",
            ));
        }
        Some(limit) if limit > 0 => {
            let what = format!("it holds {entries} records of {limit} at most");
            found.push(Finding::ok(KERNEL, what));
        }
        _ => {}
    }
    found
}

fn loaded(stacks: &[(u8, String)]) -> Finding {
    let names: Vec<String> = (stacks.iter())
        .map(|(id, name)| format!("{id} {name}"))
        .collect();
    match names.is_empty() {
        false => Finding::ok("stacks", names.join(", ")),
        true => Finding::warning(
            "stacks",
            "the kernel does not say what its stacks are called",
            "name them when reading, with --stack-name ID=NAME",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Verdict::{Ok as Fine, Problem, Warning};
    use super::*;

    /// As 14 has it when nothing is set.
    fn defaults() -> Settings {
        Settings {
            log_version: Some(9),
            disable_all: Some(false),
            log_auto_mode: Some(Mode::TAIL),
            log_auto_all: Some(false),
            log_auto_ratio: Some(0),
            log_session_limit: Some(5000),
            log_global_limit: Some(5_000_000),
            log_global_entries: Some(0),
            log_id_limit: Some(0),
            log_id_entries: Some(0),
            tp_number: Some(0),
            tp_bbmode: Some(Mode::CONTINUAL),
            tp_count: Some(0),
        }
    }

    fn bad(kernel: &Settings) -> Vec<Finding> {
        let stacks = [(1, "freebsd".to_owned()), (3, "rack".to_owned())];
        let mut found = check(kernel, &[6, 7, 8, 9], &stacks);
        assert_eq!(
            found.pop(),
            Some(Finding::ok("stacks", "1 freebsd, 3 rack"))
        );
        found.retain(|finding| finding.verdict != Fine);
        found
    }

    #[test]
    fn a_kernel_that_logs_everything() {
        let kernel = Settings {
            log_auto_mode: Some(Mode::CONTINUAL),
            log_auto_all: Some(true),
            log_auto_ratio: Some(1),
            tp_number: Some(0xffff_ffff),
            tp_count: Some(3),
            ..defaults()
        };
        assert_eq!(bad(&kernel), []);
        let all = check(&kernel, &[9], &[]);
        let says = |text: &str| all.iter().any(|finding| finding.what == text);
        assert!(
            says("it logs every connection in mode 4 (CONTINUAL)"),
            "{all:?}"
        );
        let point =
            "3 more connections that reach any trace point are logged in mode 4 (CONTINUAL)";
        assert!(says(point), "{all:?}");
        let stacks = all.last().map(|finding| (finding.subject, finding.verdict));
        assert_eq!(stacks, Some(("stacks", Warning)));
    }

    #[test]
    fn a_kernel_as_it_comes() {
        let found = bad(&defaults());
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(found[0].verdict, Warning);
        assert_eq!(found[0].advice.as_deref(), Some(LOG_ALL));
    }

    #[test]
    fn a_mode_that_is_never_handed_over() {
        let kernel = Settings {
            log_auto_ratio: Some(100),
            ..defaults()
        };
        let found = bad(&kernel);
        let expected = "it logs one of 100 connections with a log ID in mode 1 (TAIL), which it \
                        does not hand over by itself";
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(found[0].what, expected);
    }

    #[test]
    fn a_kernel_that_cannot() {
        let found = check(&Settings::default(), &[9], &[]);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].verdict, Problem);

        let kernel = Settings {
            log_version: Some(10),
            disable_all: Some(true),
            log_session_limit: Some(0),
            log_global_entries: Some(4_500_000),
            ..defaults()
        };
        let verdicts: Vec<_> = bad(&kernel).iter().map(|f| f.verdict).collect();
        assert_eq!(verdicts, [Problem, Problem, Warning, Warning, Warning]);
        let nearly = Settings {
            log_global_entries: Some(4_499_999),
            ..kernel
        };
        assert_eq!(bad(&nearly).len(), 4);
    }
}
