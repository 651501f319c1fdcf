//! What packages are made of: shell scripts that a shell takes, an rc.d script
//! that starts the collector as the collector wants it, a list of files that
//! names all of them.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn freebsd(name: &str) -> PathBuf {
    root().join("packaging/freebsd").join(name)
}

fn port(name: &str) -> PathBuf {
    freebsd("port/sysutils/tcplog").join(name)
}

fn text(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

fn succeeded(output: &Output) -> bool {
    print!("{}", String::from_utf8_lossy(&output.stdout));
    print!("{}", String::from_utf8_lossy(&output.stderr));
    output.status.success()
}

/// Every script, and the shell it is for.
fn scripts() -> Vec<(&'static str, PathBuf)> {
    let mut scripts = vec![("sh", freebsd("tcplogd"))];
    for entry in fs::read_dir(root().join(".ci")).into_iter().flatten() {
        scripts.push(("bash", entry.unwrap().path()));
    }
    scripts
}

#[test]
fn scripts_are_shell() {
    for (shell, script) in scripts() {
        let first = format!("#!/bin/{shell}\n");
        let other = format!("#!/usr/bin/env {shell}\n");
        let text = text(&script);
        let name = script.display();
        assert!(
            text.starts_with(&first) || text.starts_with(&other),
            "{name}"
        );
        let mode = fs::metadata(&script).unwrap().permissions().mode();
        assert_eq!(mode & 0o111, 0o111, "{name} can be run");
        let output = Command::new(shell).arg("-n").arg(&script).output().unwrap();
        assert!(succeeded(&output), "{name}");
    }
}

/// Where shellcheck is installed; rc.subr, which is not here, uses variables
/// that are set, and sets ones that are used.
#[test]
fn scripts_are_good_shell() {
    for (_, script) in scripts() {
        let mut command = Command::new("shellcheck");
        command.args(["-e", "SC1091,SC2034"]).arg(&script);
        match command.output() {
            Ok(output) => assert!(succeeded(&output), "{}", script.display()),
            Err(e) => return println!("shellcheck: {e}"),
        }
    }
}

/// A system that notes what the rc.d script does, in place of rc.subr and of
/// the programs that it runs.
struct Host {
    dir: tempfile::TempDir,
    script: PathBuf,
}

impl Host {
    fn new() -> Host {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        let subr = "\
load_rc_config() { . \"$RC_CONF\"; }
check_pidfile() { cat \"$PID\" 2>/dev/null; }
run_rc_command() {
    [ -z \"$tcplogd_user\" ] || { echo 'rc.subr would use su(1)'; exit 1; }
    eval rc_cmd=\\$${1}_cmd
    eval rc_precmd=\\$${1}_precmd
    if [ -n \"$rc_precmd\" ]; then $rc_precmd || exit 1; fi
    $rc_cmd
}
";
        fs::write(at("rc.subr"), subr).unwrap();
        // An argument a line.
        let program = format!(
            "#!/bin/sh\nprintf '%s\\n' \"$@\" > {}/arguments\n",
            dir.path().display()
        );
        for name in ["daemon", "tcplog"] {
            fs::write(at(name), &program).unwrap();
            fs::set_permissions(at(name), fs::Permissions::from_mode(0o755)).unwrap();
        }
        let script = text(&freebsd("tcplogd"))
            .replace("/etc/rc.subr", at("rc.subr").to_str().unwrap())
            .replace("/usr/sbin/daemon", at("daemon").to_str().unwrap())
            .replace("/usr/local/bin/tcplog", at("tcplog").to_str().unwrap());
        fs::write(at("tcplogd"), script).unwrap();
        let script = at("tcplogd");
        Host { dir, script }
    }

    fn at(&self, name: &str) -> String {
        self.dir.path().join(name).to_str().unwrap().to_owned()
    }

    /// The arguments of the program that `service tcplogd WHAT` runs.
    fn runs(&self, what: &str, rc_conf: &str) -> Vec<String> {
        fs::write(self.at("rc.conf"), rc_conf).unwrap();
        let _ = fs::remove_file(self.at("arguments"));
        let output = Command::new("sh")
            .arg(&self.script)
            .arg(what)
            .env("RC_CONF", self.at("rc.conf"))
            .env("PID", self.at("pid"))
            .output()
            .unwrap();
        assert!(succeeded(&output), "{what}");
        (text(Path::new(&self.at("arguments"))).lines())
            .map(str::to_owned)
            .collect()
    }

    /// `start`, up to the name of the program, and what the program is given.
    fn starts(&self, rc_conf: &str) -> (Vec<String>, Vec<String>) {
        let mut daemon = self.runs("start", rc_conf);
        let at = (daemon.iter())
            .position(|argument| *argument == self.at("tcplog"))
            .unwrap();
        let program = daemon.split_off(at + 1);
        (daemon, program)
    }

    /// rc.conf with places that may be written to.
    fn conf(&self) -> String {
        let user = Command::new("id").arg("-un").output().unwrap().stdout;
        let user = String::from_utf8(user).unwrap();
        format!(
            "tcplogd_dir='{}'\ntcplogd_log='{}'\ntcplogd_user={user}",
            self.at("recordings here"),
            self.at("a log")
        )
    }
}

#[test]
fn rc_script_starts_the_collector() {
    let host = Host::new();
    let (daemon, program) = host.starts(&host.conf());
    let mut expected = [
        "-c",
        "-f",
        "-S",
        "-T",
        "tcplogd",
        "-p",
        "/var/run/tcplogd.pid",
    ]
    .to_vec();
    expected.extend(["-t", "tcplogd"]);
    assert_eq!(daemon[..daemon.len() - 1], expected);

    let (dir, log) = (host.at("recordings here"), host.at("a log"));
    let start = ["record", "-f", "/dev/tcp_log", "-D", &dir, "-u"];
    assert_eq!(program[..6], start);
    assert_eq!(program[7..9], ["--log", &log]);
    assert_eq!(program[9..], ["--compress", "zstd", "--max-disk", "10G"]);

    let mode = |path: &str| fs::metadata(path).unwrap().permissions().mode();
    assert_eq!(mode(&dir), 0o040_750);
    assert_eq!(mode(&log), 0o100_640);
}

#[test]
fn rc_script_keeps_to_rc_conf() {
    let host = Host::new();
    let conf = host.conf() + "tcplogd_log=''\ntcplogd_flags=''\ntcplogd_device=/a/fifo\n";
    let (_, program) = host.starts(&conf);
    assert_eq!(program.len(), 7, "{program:?}");
    assert_eq!(program[..3], ["record", "-f", "/a/fifo"]);

    let check = host.runs("check", &conf);
    assert_eq!(check[..2], ["record", "--check"]);
    assert_eq!(check[2..], program[1..]);
}

#[test]
fn rc_script_asks_for_a_status_line() {
    let host = Host::new();
    // Whoever it asks ends with the number of the signal.
    let mut asked = Command::new("sh")
        .args([
            "-c",
            "trap 'exit 42' USR1; echo ready; while :; do sleep 0.1; done",
        ])
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut ready = [0; 6];
    std::io::Read::read_exact(asked.stdout.as_mut().unwrap(), &mut ready).unwrap();
    fs::write(host.at("pid"), asked.id().to_string()).unwrap();
    fs::write(host.at("rc.conf"), "").unwrap();
    let status = || {
        Command::new("sh")
            .arg(&host.script)
            .arg("status_line")
            .env("RC_CONF", host.at("rc.conf"))
            .env("PID", host.at("pid"))
            .output()
            .unwrap()
    };
    assert!(succeeded(&status()));
    assert_eq!(asked.wait().unwrap().code(), Some(42));
    fs::remove_file(host.at("pid")).unwrap();
    let output = status();
    assert!(!output.status.success());
    assert_eq!(output.stdout, b"tcplogd is not running.\n");
}

/// The program itself judges the options: before it shows its help, it refuses
/// what it does not know.
#[test]
fn the_program_takes_what_the_rc_script_gives() {
    let host = Host::new();
    let (_, start) = host.starts(&host.conf());
    let check = host.runs("check", &host.conf());
    for arguments in [start, check] {
        let output = Command::new(env!("CARGO_BIN_EXE_tcplog"))
            .args(&arguments)
            .arg("--help")
            .output()
            .unwrap();
        assert!(succeeded(&output), "{arguments:?}");
    }
}

#[test]
fn the_port_has_the_same_script() {
    let expected = text(&freebsd("tcplogd")).replace("/usr/local", "%%PREFIX%%");
    assert_eq!(text(&port("files/tcplogd.in")), expected);
}

#[test]
fn newsyslog_rotates_what_the_script_makes() {
    let script = text(&freebsd("tcplogd"));
    let default = |name: &str| {
        let line = (script.lines())
            .find_map(|line| line.strip_prefix(&format!(": \"${{tcplogd_{name}")))
            .unwrap();
        line.trim_start_matches([':', '='])
            .trim_end_matches("}\"")
            .to_owned()
    };
    let conf = text(&freebsd("newsyslog.conf"));
    let lines: Vec<Vec<&str>> = (conf.lines())
        .filter(|line| !line.starts_with('#'))
        .map(|line| line.split_whitespace().collect())
        .collect();
    let names: Vec<&str> = lines.iter().map(|line| line[0]).collect();
    assert_eq!(names, [default("dir") + "/records", default("log")]);
    for line in &lines {
        assert_eq!(line.len(), 9, "{line:?}");
        let user = default("user");
        assert_eq!(line[1], format!("{user}:{user}"));
        assert!(line[6].contains('B'), "the index is JSON, line by line");
        // SIGHUP, to the process that the script starts.
        assert_eq!(line[7..], ["/var/run/tcplogd.pid", "1"]);
    }
    assert!(script.contains("pidfile=\"/var/run/${name}.pid\""));
}

/// What the port installs: from the binaries' names, the manual and the
/// completions as they are here.
fn installed() -> BTreeSet<String> {
    let mut files = BTreeSet::from(["@sample etc/newsyslog.conf.d/tcplogd.conf.sample".to_owned()]);
    for bin in ["tcplog", "tcplog2pcapng"] {
        files.insert(format!("bin/{bin}"));
    }
    let names = |dir: &str| -> Vec<String> {
        (fs::read_dir(root().join(dir)).unwrap())
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect()
    };
    for page in names("man") {
        let (_, section) = page.rsplit_once('.').unwrap();
        files.insert(format!("share/man/man{section}/{page}.gz"));
    }
    for name in names("completions") {
        files.insert(match name.rsplit_once('.') {
            Some((bin, "bash")) => format!("share/bash-completion/completions/{bin}"),
            Some((_, "fish")) => format!("share/fish/vendor_completions.d/{name}"),
            _ => format!("share/zsh/site-functions/{name}"),
        });
    }
    files
}

fn listed() -> BTreeSet<String> {
    let list = text(&port("pkg-plist"));
    let lines: Vec<String> = list.lines().map(str::to_owned).collect();
    assert!(lines.is_sorted_by_key(|line| line.trim_start_matches("@sample ")));
    let listed: BTreeSet<String> = lines.iter().cloned().collect();
    assert_eq!(listed.len(), lines.len(), "nothing is named twice");
    listed
}

#[test]
fn the_list_names_every_installed_file() {
    let listed = listed();
    let forgotten: Vec<_> = installed().difference(&listed).cloned().collect();
    assert_eq!(forgotten, Vec::<String>::new());
}

#[test]
fn the_list_names_nothing_else() {
    let surplus: Vec<_> = listed().difference(&installed()).cloned().collect();
    assert_eq!(surplus, Vec::<String>::new());
}

#[test]
fn the_port_is_of_this_version() {
    let makefile = text(&port("Makefile"));
    let version = format!("DISTVERSION=\t{}\n", env!("CARGO_PKG_VERSION"));
    assert!(makefile.contains(&version));
    for line in text(&port("pkg-descr")).lines() {
        assert!(line.len() <= 80, "{line}");
    }
}
