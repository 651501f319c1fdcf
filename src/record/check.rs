//! Whether this machine is ready to record, and what to do where it is not.
//!
//! Nothing is changed: the device is opened and closed, directories are looked
//! at, the kernel is asked.

mod device;
mod directory;
mod settings;

use super::kernel::{self, Settings};
use super::privileges::Identity;
use crate::format::Formats;
use crate::output::escape::Escaped;
use std::fmt::Write;
use std::path::Path;

/// What is to be recorded, where, and by whom.
#[derive(Clone, Copy, Debug)]
pub struct Plan<'a> {
    /// `/dev/tcp_log`, or a file or FIFO in its place.
    pub device: &'a Path,
    /// Where recordings go.
    pub directory: &'a Path,
    /// Who to go on as once the device is open; none: who starts it.
    pub user: Option<&'a str>,
}

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    Ok,
    /// It would record, but perhaps nothing, not for long, or for more eyes
    /// than one would think.
    Warning,
    /// It would not record.
    Problem,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// "system", "device", "kernel", "stacks", "user", "privileges",
    /// "directory", "space" or "lock".
    pub subject: &'static str,
    pub verdict: Verdict,
    /// What was found; names in it are as they are, so not safe to show.
    pub what: String,
    /// What to do about it.
    pub advice: Option<String>,
}

impl Finding {
    fn ok(subject: &'static str, what: impl Into<String>) -> Finding {
        Finding {
            subject,
            verdict: Verdict::Ok,
            what: what.into(),
            advice: None,
        }
    }

    fn warning(
        subject: &'static str,
        what: impl Into<String>,
        advice: impl Into<String>,
    ) -> Finding {
        Finding {
            subject,
            verdict: Verdict::Warning,
            what: what.into(),
            advice: Some(advice.into()),
        }
    }

    fn problem(
        subject: &'static str,
        what: impl Into<String>,
        advice: impl Into<String>,
    ) -> Finding {
        Finding {
            verdict: Verdict::Problem,
            ..Finding::warning(subject, what, advice)
        }
    }
}

/// Looks at everything that recording needs, in the order in which it needs it.
pub fn check(plan: &Plan<'_>) -> Vec<Finding> {
    let kernel = Settings::current();
    let mut found = vec![system()];
    found.extend(device::check(plan.device, kernel.log_version.is_some()));
    if cfg!(target_os = "freebsd") && !device::stands_in(plan.device) {
        let known: Vec<u32> = (Formats::builtin().versions.iter())
            .map(|version| version.number)
            .collect();
        found.extend(settings::check(&kernel, &known, &kernel::stack_names()));
    }
    let (findings, writer) = users(plan.user, &Identity::current());
    found.extend(findings);
    found.extend(directory::check(plan.directory, &writer));
    found
}

/// The worst of the verdicts.
pub fn worst(findings: &[Finding]) -> Verdict {
    let verdicts = findings.iter().map(|finding| finding.verdict);
    verdicts.max().unwrap_or(Verdict::Ok)
}

/// The findings as lines of text, safe to show: the verdict, the subject, what
/// was found, and in a line of its own what to do.
pub fn render(findings: &[Finding]) -> String {
    let mut text = String::new();
    for finding in findings {
        let verdict = match finding.verdict {
            Verdict::Ok => "ok",
            Verdict::Warning => "warning",
            Verdict::Problem => "problem",
        };
        let what = Escaped(finding.what.as_bytes());
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{verdict:<8} {:<11} {what}", finding.subject);
        if let Some(advice) = &finding.advice {
            let _ = writeln!(text, "{:<20} -> {}", "", Escaped(advice.as_bytes()));
        }
    }
    text
}

fn system() -> Finding {
    let name = std::env::consts::OS;
    let machine = std::env::consts::ARCH;
    match kernel::release() {
        Some(release) => Finding::ok("system", format!("FreeBSD {release} on {machine}")),
        None if name == "freebsd" => Finding::ok("system", format!("FreeBSD on {machine}")),
        None => Finding::warning(
            "system",
            format!("this is {name}; only FreeBSD has the device"),
            "record what a FreeBSD host sends, from a file or FIFO given with -f",
        ),
    }
}

/// Who opens the device, who writes recordings, and whether the one can become
/// the other; with the one who writes.
fn users(wanted: Option<&str>, is: &Identity) -> (Vec<Finding>, Identity) {
    let Some(name) = wanted else {
        let finding = match is.is_root() {
            true => Finding::warning(
                "user",
                "recording goes on as root once the device is open",
                "give an account that owns nothing else: -u nobody",
            ),
            false => Finding::ok("user", format!("recording is done by {is}")),
        };
        return (vec![finding], is.clone());
    };
    let wanted = match Identity::find(name) {
        Ok(wanted) => wanted,
        Err(e) => {
            let advice = "give an account that there is with -u, or make one with pw(8)";
            let finding = Finding::problem("user", e.to_string(), advice);
            return (vec![finding], is.clone());
        }
    };
    let mut found = vec![match wanted.is_root() {
        false => Finding::ok("user", format!("{wanted}, group {}", wanted.gid)),
        true => Finding::warning(
            "user",
            "recording goes on as root",
            "give an account that owns nothing else: -u nobody",
        ),
    }];
    if is.uid == wanted.uid {
        let what = format!("{is} from the start");
        found.push(Finding::ok("privileges", what));
    } else if is.is_root() {
        let what = format!("root opens the device and goes on as {wanted}");
        found.push(Finding::ok("privileges", what));
    } else {
        found.push(Finding::problem(
            "privileges",
            format!("this is {is}, who cannot become {wanted}"),
            "start it as root; it gives that up once the device is open",
        ));
    }
    (found, wanted)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    fn identity(name: &str, uid: u32) -> Identity {
        Identity {
            uid,
            gid: uid,
            name: name.to_owned(),
        }
    }

    fn verdicts(findings: &[Finding]) -> Vec<(&'static str, Verdict)> {
        findings.iter().map(|f| (f.subject, f.verdict)).collect()
    }

    #[test]
    fn who_may_become_whom() {
        use Verdict::{Ok, Problem, Warning};
        let root = identity("root", 0);
        let somebody = identity("somebody", 4_000_000_000);
        let nobody = Identity::find("nobody").unwrap();

        let (found, writer) = users(None, &root);
        assert_eq!(verdicts(&found), [("user", Warning)]);
        assert_eq!(writer, root);

        let (found, writer) = users(None, &somebody);
        assert_eq!(verdicts(&found), [("user", Ok)]);
        assert_eq!(writer, somebody);

        let (found, writer) = users(Some("nobody"), &root);
        assert_eq!(verdicts(&found), [("user", Ok), ("privileges", Ok)]);
        assert_eq!(writer, nobody);

        let (found, _) = users(Some("nobody"), &somebody);
        assert_eq!(verdicts(&found), [("user", Ok), ("privileges", Problem)]);
        assert!(found[1].what.contains("somebody"), "{found:?}");

        let (found, writer) = users(Some("no such user"), &somebody);
        assert_eq!(verdicts(&found), [("user", Problem)]);
        assert_eq!(found[0].what, "no account is called \"no such user\"");
        assert_eq!(writer, somebody);

        let (found, _) = users(Some("root"), &root);
        assert_eq!(verdicts(&found), [("user", Warning), ("privileges", Ok)]);
    }

    #[test]
    fn lines_of_text() {
        let findings = [
            Finding::ok("system", "FreeBSD 14.3-RELEASE on x86_64"),
            Finding::problem("directory", "/a\x1b[2Jb: no", "make it"),
        ];
        let expected = "\
ok       system      FreeBSD 14.3-RELEASE on x86_64
problem  directory   /a\\x1b[2Jb: no
                     -> make it
";
        assert_eq!(render(&findings), expected);
        assert_eq!(worst(&findings), Verdict::Problem);
        assert_eq!(worst(&findings[..1]), Verdict::Ok);
        assert_eq!(worst(&[]), Verdict::Ok);
    }

    #[test]
    fn a_whole_plan() {
        let dir = tempfile::tempdir().unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o700)).unwrap();
        let stream = dir.path().join("stream");
        fs::write(&stream, b"").unwrap();
        let found = check(&Plan {
            device: &stream,
            directory: dir.path(),
            user: None,
        });
        let subjects: Vec<_> = (verdicts(&found).into_iter().map(|(s, _)| s))
            .filter(|s| !["kernel", "stacks", "space"].contains(s))
            .collect();
        let expected = ["system", "device", "user", "directory", "lock"];
        assert_eq!(subjects, expected, "{found:?}");
    }
}
