//! A reader of the device that says what it sees: bare system calls, nothing
//! of tcplog. A program of its own; tests/standin/main.rs compiles it.
//!
//! `reader read DEVICE SIZE block|restart|poll OUT` reads until it has had
//! `SIGTERM`, then what is left without waiting. Standard output has each read
//! as `number requested returned errno`. `restart`: as `block`, but with a
//! handler after which the system goes on with the call.
//!
//! `reader ask DEVICE WHAT...` makes one attempt each and says what came of it.

use std::ffi::{c_int, c_ulong, c_void};
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};

#[repr(C)]
struct SigAction {
    handler: extern "C" fn(c_int),
    mask: [u64; 16],
    flags: c_int,
    restorer: usize,
}

#[repr(C)]
struct PollFd {
    fd: c_int,
    events: i16,
    revents: i16,
}

unsafe extern "C" {
    fn read(fd: c_int, buf: *mut c_void, len: usize) -> isize;
    fn write(fd: c_int, buf: *const c_void, len: usize) -> isize;
    fn poll(fds: *mut PollFd, count: c_ulong, timeout_ms: c_int) -> c_int;
    fn fcntl(fd: c_int, command: c_int, ...) -> c_int;
    fn dup(fd: c_int) -> c_int;
    fn sigaction(signal: c_int, new: *const SigAction, old: *mut SigAction) -> c_int;
}

const EINTR: i32 = 4;
const EAGAIN: i32 = 11;
const EBUSY: i32 = 16;
const SIGTERM: c_int = 15;
const SA_RESTART: c_int = 0x1000_0000;
const F_SETFL: c_int = 4;
const O_APPEND: c_int = 0o2000;
const O_NONBLOCK: c_int = 0o4000;
const POLLIN: i16 = 1;
const POLLOUT: i16 = 4;

static STOP: AtomicBool = AtomicBool::new(false);

extern "C" fn stop(_: c_int) {
    STOP.store(true, Ordering::Relaxed);
}

fn errno() -> i32 {
    io::Error::last_os_error().raw_os_error().unwrap_or(0)
}

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["read", device, size, how, out] => reads(device, size.parse().unwrap(), how, out),
        ["ask", device, asked @ ..] => {
            for what in asked {
                println!("{what} {}", answer(device, what));
            }
        }
        _ => panic!("arguments"),
    }
}

fn reads(device: &str, size: usize, how: &str, out: &str) {
    let action = SigAction {
        handler: stop,
        mask: [0; 16],
        flags: if how == "restart" { SA_RESTART } else { 0 },
        restorer: 0,
    };
    assert_eq!(
        unsafe { sigaction(SIGTERM, &action, std::ptr::null_mut()) },
        0
    );
    let mut open = File::options();
    open.read(true);
    if how == "poll" {
        open.custom_flags(O_NONBLOCK);
    }
    let file = open.open(device).unwrap();
    let fd = file.as_raw_fd();
    let mut out = File::create(out).unwrap();
    let mut room = vec![0u8; size];
    for number in 0u64.. {
        let mut stopped = STOP.load(Ordering::Relaxed);
        while how == "poll" && !stopped && !matches!(poll_in(fd, -1), (1, POLLIN)) {
            stopped = STOP.load(Ordering::Relaxed);
        }
        if stopped {
            assert_eq!(unsafe { fcntl(fd, F_SETFL, O_NONBLOCK) }, 0);
        }
        let returned = unsafe { read(fd, room.as_mut_ptr().cast(), size) };
        let errno = if returned < 0 { errno() } else { 0 };
        println!("{number} {size} {returned} {errno}");
        match (returned, errno) {
            (1.., _) => out.write_all(&room[..returned as usize]).unwrap(),
            (_, EAGAIN) if stopped => return,
            (_, EINTR | EAGAIN | EBUSY) => {}
            other => panic!("{other:?}"),
        }
    }
}

fn poll_in(fd: c_int, timeout_ms: c_int) -> (c_int, i16) {
    poll_for(fd, POLLIN, timeout_ms)
}

fn poll_for(fd: c_int, events: i16, timeout_ms: c_int) -> (c_int, i16) {
    let mut one = PollFd {
        fd,
        events,
        revents: 0,
    };
    let ready = unsafe { poll(&mut one, 1, timeout_ms) };
    (ready, one.revents)
}

fn opened(device: &str, flags: c_int) -> String {
    let mut options = File::options();
    let opened = options.read(true).custom_flags(flags).open(device);
    opened.map_or_else(failed, |_| "0".to_owned())
}

fn failed(e: io::Error) -> String {
    e.raw_os_error().unwrap_or(-1).to_string()
}

/// Kind, mode in octal, size.
fn kind(meta: &fs::Metadata) -> String {
    let kind = meta.file_type();
    let mode = meta.mode() & 0o7777;
    format!("{} {mode:o} {}", kind.is_char_device(), meta.len())
}

fn waited(asked: impl FnOnce() -> String) -> String {
    let start = Instant::now();
    let answer = asked();
    let long = start.elapsed() >= Duration::from_millis(50);
    format!("{answer} {}", if long { "late" } else { "at once" })
}

fn seconds() -> i64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    now.unwrap().as_secs() as i64
}

/// As many bytes as the message has, at most `len`.
fn read_some(fd: c_int, len: usize) -> String {
    let mut room = vec![0u8; len];
    match unsafe { read(fd, room.as_mut_ptr().cast(), len) } {
        -1 => format!("-1 {}", errno()),
        got => got.to_string(),
    }
}

/// Takes all that is there.
fn drained(device: &str) -> File {
    let mut options = File::options();
    let options = options.read(true).custom_flags(O_NONBLOCK);
    let file = options.open(device).unwrap();
    while !read_some(file.as_raw_fd(), 1 << 20).starts_with('-') {}
    file
}

fn answer(device: &str, what: &str) -> String {
    let open = || File::open(device).unwrap();
    match what {
        "open" => opened(device, 0),
        "open-nonblock" => opened(device, O_NONBLOCK),
        "open-append" => opened(device, O_APPEND),
        "open-write" => {
            let opened = File::options().write(true).open(device);
            opened.map_or_else(failed, |_| "0".to_owned())
        }
        "open-truncate" => File::create(device).map_or_else(failed, |_| "0".to_owned()),
        "stat" => kind(&fs::metadata(device).unwrap()),
        "fstat" => kind(&open().metadata().unwrap()),
        "write" => {
            let file = open();
            let wrote = unsafe { write(file.as_raw_fd(), b"x".as_ptr().cast(), 1) };
            format!("{wrote} {}", errno())
        }
        "zero" => read_some(open().as_raw_fd(), 0),
        "zero-empty" => waited(|| read_some(drained(device).as_raw_fd(), 0)),
        "fault" => {
            let file = open();
            let bad = unsafe { read(file.as_raw_fd(), std::ptr::null_mut(), 100) };
            let errno = errno();
            format!("{bad} {errno} {}", read_some(file.as_raw_fd(), 1 << 20))
        }
        "dup" => {
            let file = open();
            let copy = unsafe { dup(file.as_raw_fd()) };
            let first = read_some(file.as_raw_fd(), 100);
            drop(file);
            format!("{first} {}", read_some(copy, 1 << 20))
        }
        "set-nonblock" => {
            let file = drained(device);
            let fd = file.as_raw_fd();
            let waits = waited(|| read_some(fd, 1));
            assert_eq!(unsafe { fcntl(fd, F_SETFL, 0) }, 0);
            format!("{waits} {:?}", poll_in(fd, 0))
        }
        "poll-ready" => waited(|| format!("{:?}", poll_in(open().as_raw_fd(), 60_000))),
        "poll-output" => {
            let file = drained(device);
            waited(|| format!("{:?}", poll_for(file.as_raw_fd(), POLLOUT, 60_000)))
        }
        "poll-empty" => {
            let file = drained(device);
            waited(|| format!("{:?}", poll_in(file.as_raw_fd(), 60)))
        }
        "poll-pipe" => {
            // Something else than the device becomes ready.
            let file = drained(device);
            let (from, mut to) = io::pipe().unwrap();
            std::thread::spawn(move || {
                std::thread::sleep(Duration::from_millis(60));
                to.write_all(b"x").unwrap();
                std::thread::sleep(Duration::from_secs(60));
            });
            let mut fds = [file.as_raw_fd(), from.as_raw_fd()].map(|fd| PollFd {
                fd,
                events: POLLIN,
                revents: 9,
            });
            waited(|| {
                let ready = unsafe { poll(fds.as_mut_ptr(), 2, 60_000) };
                format!("{ready} {} {}", fds[0].revents, fds[1].revents)
            })
        }
        "poll-both" => {
            let (from, mut to) = io::pipe().unwrap();
            to.write_all(b"x").unwrap();
            let file = open();
            let mut fds = [from.as_raw_fd(), file.as_raw_fd()].map(|fd| PollFd {
                fd,
                events: POLLIN,
                revents: 9,
            });
            let ready = unsafe { poll(fds.as_mut_ptr(), 2, -1) };
            format!("{ready} {} {}", fds[0].revents, fds[1].revents)
        }
        "clock" => {
            let file = open();
            let mut steps = Vec::new();
            for _ in 0..4 {
                let (before, monotonic) = (seconds(), Instant::now());
                read_some(file.as_raw_fd(), 1000);
                assert!(monotonic.elapsed() < Duration::from_secs(500));
                // To whole thousands, for the test's own time passes as well.
                steps.push(((seconds() - before) as f64 / 1000.0).round() as i64);
            }
            format!("{steps:?}")
        }
        other => panic!("{other}"),
    }
}
