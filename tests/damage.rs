//! Damaged and hostile input: no panic, what is good is kept, and each damage
//! is reported once.

// A list of one damaged range is what is meant.
#![allow(clippy::single_range_in_vec_init)]

mod support;

use std::collections::{HashMap, HashSet};
use std::ffi::OsStr;
use std::fs;
use std::io::Write;
use std::ops::Range;
use std::os::unix::ffi::OsStrExt;
use support::library::{to_pcapng, to_stream};
use support::stream::{HEADER, Msg, Rec, blocks, messages, record_len, u64_at, without_stale};
use support::{assert_same, convert, files_in, filter, genuine, put, tcplog, tcplog_with_input};
use tcplog::input::{Damage, InputError};

/// Numbers that look random and are the same every time (splitmix64).
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ (x >> 31)
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit as u64) as usize
    }

    fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| self.next() as u8).collect()
    }
}

/// Four short messages: plain and verbose records, IPv4 and IPv6.
fn small() -> Vec<u8> {
    let (v6, mixed, ids) = (
        genuine("base-v6"),
        genuine("rack-loss"),
        genuine("kernel15-ids"),
    );
    let mut out = Vec::new();
    for (stream, first, count) in [(&ids, 0, 9), (&v6, 3, 7), (&mixed, 40, 12), (&ids, 0, 6)] {
        let all = messages(stream);
        let wanted = if out.is_empty() { 0 } else { all.len() - 1 };
        let message = all[wanted];
        let records = message.records();
        out.extend(message.with_records(records.into_iter().skip(first).take(count)));
    }
    let sizes: HashSet<usize> = messages(&out)
        .iter()
        .flat_map(|m| m.records())
        .map(|r| r.0.len())
        .collect();
    assert_eq!((messages(&out).len(), sizes.len()), (4, 2));
    out
}

/// Where records stand in a stream: message, place, record.
fn places(stream: &[u8]) -> Vec<(Msg<'_>, Range<usize>, Rec<'_>)> {
    let mut all = Vec::new();
    for message in messages(stream) {
        let mut at = message.offset + HEADER;
        for record in message.records() {
            all.push((message, at..at + record.0.len(), record));
            at += record.0.len();
        }
    }
    all
}

/// A header without its length: that may be wrong.
fn face(header: &[u8]) -> Vec<u8> {
    [&header[..8], &header[16..HEADER]].concat()
}

/// The connection of a header.
fn ends(header: &[u8]) -> &[u8] {
    &header[16..56]
}

/// True if what happened at `hit` did something to `place`; an empty `hit` is
/// an insertion.
fn touches(hit: &Range<usize>, place: &Range<usize>) -> bool {
    if hit.is_empty() {
        place.start < hit.start && hit.start < place.end
    } else {
        hit.start < place.end && place.start < hit.end
    }
}

/// What became of a damaged stream, record by record.
#[derive(Debug, Default)]
struct Kept {
    /// Records that the damage did not touch, of messages with a good header.
    safe: usize,
    /// Such records that are missing.
    lost: usize,
    /// Records that came out and are none of the safe ones.
    more: usize,
    /// The most that could be: touched ones, and those of damaged headers.
    most: usize,
    /// Records that came out under the header of another connection.
    misplaced: usize,
}

fn kept(original: &[u8], hits: &[Range<usize>], got: &[u8]) -> Kept {
    let mut kept = Kept::default();
    let mut wanted: Vec<(Vec<u8>, &[u8])> = Vec::new();
    // A later message of the same connection is no wrong place for a record
    // whose own header is gone.
    let mut homes: HashMap<&[u8], HashSet<&[u8]>> = HashMap::new();
    let known = messages(original);
    let known: HashSet<&[u8]> = known.iter().map(|m| ends(m.header())).collect();
    for (message, place, record) in places(original) {
        let start = message.offset;
        // A wrong length alone does not spoil a header.
        let good = !hits.iter().any(|hit| {
            touches(hit, &(start..start + 8)) || touches(hit, &(start + 16..start + HEADER))
        }) && !hits
            .iter()
            .any(|hit| hit.is_empty() && touches(hit, &(start..start + HEADER)));
        let intact = !hits.iter().any(|hit| touches(hit, &place));
        homes
            .entry(record.0)
            .or_default()
            .insert(ends(message.header()));
        if good && intact {
            wanted.push((face(message.header()), record.0));
        } else {
            kept.most += 1;
        }
    }
    kept.safe = wanted.len();
    let mut next = 0;
    for (message, _, record) in places(got) {
        let this = face(message.header());
        let connection = ends(message.header());
        if let Some(homes) = homes.get(record.0)
            && !homes.contains(connection)
            && known.contains(connection)
        {
            kept.misplaced += 1;
        }
        let ahead = &wanted[next..];
        match ahead
            .iter()
            .position(|(face, bytes)| *face == this && *bytes == record.0)
        {
            Some(skipped) => {
                kept.lost += skipped;
                next += skipped + 1;
            }
            None => kept.more += 1,
        }
    }
    kept.lost += wanted.len() - next;
    kept
}

/// Many cases of one kind of damage: all are tried, and failures are counted.
#[derive(Default)]
struct Tally {
    cases: usize,
    failures: Vec<String>,
}

impl Tally {
    fn case(&mut self, check: impl FnOnce() + std::panic::UnwindSafe) {
        self.cases += 1;
        if let Err(failure) = std::panic::catch_unwind(check) {
            let text = failure.downcast_ref::<String>().cloned();
            let text = text.or_else(|| failure.downcast_ref::<&str>().map(|s| (*s).to_owned()));
            self.failures.push(text.unwrap_or_default());
        }
    }

    #[track_caller]
    fn all_well(self) {
        self.all_well_but(0);
    }

    /// As [`Tally::all_well`], but for as many cases as can be read in two
    /// ways: where two records overlap, either may be the damaged one.
    #[track_caller]
    fn all_well_but(self, undecidable: usize) {
        assert!(self.cases > 10, "hardly a case");
        assert!(
            self.failures.iter().all(|f| f.contains("misplaced: 0")),
            "records under the wrong connection: {:?}",
            self.failures
        );
        assert!(
            self.failures.len() <= undecidable,
            "{} of {} cases failed, among them:\n{}",
            self.failures.len(),
            self.cases,
            self.failures
                .iter()
                .step_by(1 + self.failures.len() / 8)
                .fold(String::new(), |all, one| all + one + "\n")
        );
    }
}

/// Reads a damaged stream through every way out, and checks what is left.
#[track_caller]
fn survives(what: &str, original: &[u8], hits: &[Range<usize>], damaged: &[u8]) -> Vec<Damage> {
    survives_with(true, what, original, hits, damaged)
}

/// `comments`: also explain what is left. A cut makes no record that was not
/// there before, so it has nothing new to explain.
#[track_caller]
fn survives_with(
    comments: bool,
    what: &str,
    original: &[u8],
    hits: &[Range<usize>],
    damaged: &[u8],
) -> Vec<Damage> {
    let (got, damage) = match to_stream(damaged) {
        Ok(outcome) => outcome,
        Err(e) => panic!("{what}: refused: {e}"),
    };
    let kept = kept(original, hits, &got);
    // Garbage may pass for a record where nothing speaks against it.
    let inserted = damaged.len().saturating_sub(original.len());
    let most = kept.most + inserted.div_ceil(328);
    assert!(
        kept.lost == 0 && kept.misplaced == 0 && kept.more <= most,
        "{what}: {kept:?}; {damage:?}"
    );
    for damage in &damage {
        assert!(damage.offset <= damaged.len() as u64, "{what}: {damage:?}");
        assert!(
            damage.offset + damage.lost <= damaged.len() as u64,
            "{what}: {damage:?}"
        );
    }
    // The same records come out of the pcapng.
    let (pcapng, again) = to_pcapng(damaged, comments).unwrap();
    assert_eq!(damage, again, "{what}");
    let records = blocks(&pcapng)
        .iter()
        .filter(|block| block.is_record())
        .count();
    assert_eq!(records, places(&got).len(), "{what}: records in the pcapng");
    damage
}

#[test]
fn a_stream_cut_at_any_byte() {
    let mut tally = Tally::default();
    let stream = small();
    let starts: Vec<usize> = messages(&stream).iter().map(|m| m.offset).collect();
    for cut in 8..stream.len() {
        tally.case(|| {
            let what = format!("cut at {cut}");
            let end = stream.len();
            let damage = survives_with(false, &what, &stream, &[cut..end], &stream[..cut]);
            let whole = starts.contains(&cut);
            assert_eq!(damage.len(), usize::from(!whole), "{what}: {damage:?}");
            if let Some(damage) = damage.first() {
                // The place is where reading stopped making sense.
                let end = (damage.offset + damage.lost) as usize;
                assert_eq!(end, cut, "{what}: {damage}");
            }
        });
    }
    tally.all_well();
}

#[test]
fn a_stream_cut_in_its_first_bytes() {
    let stream = small();
    for cut in 1..8 {
        let (ran, _) = convert(&stream[..cut], &[]);
        assert_ne!(ran.status, 0, "cut at {cut}");
        assert_eq!(
            ran.said().iter().filter(|l| l.contains("byte")).count(),
            1,
            "{}",
            ran.stderr
        );
    }
}

#[test]
fn a_genuine_stream_cut_in_many_places() {
    let mut tally = Tally::default();
    for name in ["multi", "kernel-ids", "switch"] {
        let stream = genuine(name);
        let mut dice = Dice(7);
        for _ in 0..12 {
            let cut = 8 + dice.below(stream.len() - 8);
            tally.case(|| {
                survives(
                    &format!("{name} cut at {cut}"),
                    &stream,
                    &[cut..stream.len()],
                    &stream[..cut],
                );
            });
        }
    }
    tally.all_well();
}

#[test]
fn a_wrong_length_costs_nothing() {
    let mut tally = Tally::default();
    let stream = small();
    let all = messages(&stream);
    for (number, message) in all.iter().enumerate() {
        let records = message.records();
        let len = message.bytes.len() as u64;
        let (first, last) = (
            records[0].0.len() as u64,
            records[records.len() - 1].0.len() as u64,
        );
        let mut lies = vec![0, 1, 8, 16, 207, 208, 209, 208 + first, len / 2];
        lies.extend([
            len - 1,
            len - last,
            len - last - 1,
            len + 1,
            len + 7,
            len + 328,
            len + 400,
        ]);
        lies.extend([
            len + 208,
            len + 10_000,
            1 << 31,
            1 << 32,
            1 << 62,
            1 << 63,
            u64::MAX,
        ]);
        for lie in lies {
            let mut damaged = stream.clone();
            let at = message.offset + 8;
            damaged[at..at + 8].copy_from_slice(&lie.to_le_bytes());
            tally.case(|| {
                let what = format!(
                    "message {number} of {} claims {lie} instead of {len}",
                    all.len()
                );
                let damage = survives(&what, &stream, &[at..at + 8], &damaged);
                assert_eq!(damage.len(), 1, "{what}: {damage:?}");
            });
        }
    }
    tally.all_well();
}

#[test]
fn every_message_lies() {
    let stream = small();
    for lie in [0, 208, u64::MAX] {
        let mut damaged = stream.clone();
        let mut hits = Vec::new();
        for message in messages(&stream) {
            let at = message.offset + 8;
            damaged[at..at + 8].copy_from_slice(&lie.to_le_bytes());
            hits.push(at..at + 8);
        }
        let damage = survives(&format!("all claim {lie}"), &stream, &hits, &damaged);
        assert_eq!(damage.len(), 4, "all claim {lie}: {damage:?}");
    }
}

/// Garbage of several kinds.
fn garbage(dice: &mut Dice, len: usize) -> Vec<Vec<u8>> {
    vec![
        dice.bytes(len),
        vec![0; len],
        vec![0xff; len],
        b"lorem ipsum ".iter().copied().cycle().take(len).collect(),
    ]
}

#[test]
fn garbage_between_messages_costs_nothing() {
    let mut tally = Tally::default();
    let stream = small();
    let mut dice = Dice(1);
    let mut places: Vec<usize> = messages(&stream).iter().map(|m| m.offset).skip(1).collect();
    places.push(stream.len());
    for at in places {
        for len in [
            1, 2, 3, 4, 7, 8, 16, 100, 207, 208, 327, 328, 400, 536, 1000, 5000, 70_000,
        ] {
            for (kind, garbage) in garbage(&mut dice, len).into_iter().enumerate() {
                let mut damaged = stream.clone();
                damaged.splice(at..at, garbage);
                tally.case(|| {
                    let what = format!("{len} bytes of garbage {kind} at {at}");
                    let damage = survives(&what, &stream, &[], &damaged);
                    assert_eq!(damage.len(), 1, "{what}: {damage:?}");
                    assert_eq!(damage[0].offset, at as u64, "{what}: {damage:?}");
                    assert_eq!(damage[0].lost, len as u64, "{what}: {damage:?}");
                });
            }
        }
    }
    tally.all_well();
}

#[test]
fn garbage_before_the_first_message_costs_nothing() {
    let mut tally = Tally::default();
    let stream = small();
    let mut dice = Dice(2);
    for len in [16, 100, 328, 1000, 5000] {
        for (kind, garbage) in garbage(&mut dice, len).into_iter().enumerate() {
            let damaged = [garbage, stream.clone()].concat();
            tally.case(|| {
                let what = format!("{len} bytes of garbage {kind} before everything");
                let damage = survives(&what, &stream, &[], &damaged);
                assert_eq!(damage.len(), 1, "{what}: {damage:?}");
                assert_eq!(
                    (damage[0].offset, damage[0].lost),
                    (0, len as u64),
                    "{what}"
                );
            });
        }
    }
    tally.all_well();
}

#[test]
fn garbage_inside_a_record_costs_that_record() {
    let mut tally = Tally::default();
    let stream = small();
    let mut dice = Dice(3);
    for (_, place, _) in places(&stream) {
        for inside in [0, 1, 20, 27, 100, 300] {
            let at = place.start + inside;
            let len = [1, 4, 8, 33, 328, 1000][dice.below(6)];
            for (kind, garbage) in garbage(&mut dice, len).into_iter().enumerate() {
                let mut damaged = stream.clone();
                damaged.splice(at..at, garbage);
                tally.case(|| {
                    let what =
                        format!("{len} bytes of garbage {kind} at {inside} of a record ({at})");
                    let damage = survives(&what, &stream, &[at..at], &damaged);
                    assert!(!damage.is_empty(), "{what}");
                });
            }
        }
    }
    tally.all_well_but(14);
}

#[test]
fn garbage_inside_a_header_costs_at_most_that_message() {
    let mut tally = Tally::default();
    let stream = small();
    let mut dice = Dice(4);
    for message in messages(&stream).into_iter().skip(1) {
        for inside in [1, 4, 8, 12, 16, 56, 72, 100, 136, 168, 199, 200, 201, 207] {
            let len = [1, 4, 8, 33, 328, 1000][dice.below(6)];
            for (kind, garbage) in garbage(&mut dice, len).into_iter().enumerate() {
                let at = message.offset + inside;
                let mut damaged = stream.clone();
                damaged.splice(at..at, garbage);
                tally.case(|| {
                    let what =
                        format!("{len} bytes of garbage {kind} at {inside} of a header ({at})");
                    let damage = survives(&what, &stream, &[at..at], &damaged);
                    assert!(!damage.is_empty(), "{what}");
                });
            }
        }
    }
    tally.all_well();
}

#[test]
fn any_single_bit_costs_at_most_its_record() {
    let mut tally = Tally::default();
    let stream = small();
    for at in 8..stream.len() {
        // The places that frame everything get every bit, the others one.
        let bits = match places(&stream)
            .iter()
            .find(|(_, place, _)| place.contains(&at))
        {
            Some((_, place, _)) if (16..32).contains(&(at - place.start)) => 0..8,
            Some(_) => at % 8..at % 8 + 1,
            None => 0..8,
        };
        for bit in bits {
            let mut damaged = stream.clone();
            damaged[at] ^= 1 << bit;
            tally.case(|| {
                let what = format!("bit {bit} of byte {at}");
                let damage = survives(&what, &stream, &[at..at + 1], &damaged);
                assert!(damage.len() <= 1, "{what}: {damage:?}");
            });
        }
    }
    tally.all_well_but(1);
}

#[test]
fn many_bits_cost_only_what_they_touch() {
    let mut tally = Tally::default();
    for (name, flips) in [
        ("multi", 40),
        ("kernel15-ids", 100),
        ("rack-loss", 25),
        ("switch", 60),
    ] {
        let stream = genuine(name);
        for seed in 0..6 {
            let mut dice = Dice(seed);
            let mut damaged = stream.clone();
            let mut hits = Vec::new();
            for _ in 0..flips {
                let at = 8 + dice.below(stream.len() - 8);
                damaged[at] ^= 1 << dice.below(8);
                hits.push(at..at + 1);
            }
            tally.case(|| {
                survives(&format!("{name} seed {seed}"), &stream, &hits, &damaged);
            });
        }
    }
    tally.all_well();
}

#[test]
fn a_deleted_range_costs_only_what_it_took() {
    let mut tally = Tally::default();
    for (name, rounds) in [
        ("small", 600),
        ("multi", 12),
        ("kernel-ids", 20),
        ("ringwrap", 12),
    ] {
        let stream = if name == "small" {
            small()
        } else {
            genuine(name)
        };
        let mut dice = Dice(11);
        for _ in 0..rounds {
            let start = 8 + dice.below(stream.len() - 8);
            let longest = [2, 50, 400, 3000, 100_000][dice.below(5)].min(stream.len() - start);
            let end = start + 1 + dice.below(longest);
            let end = end.min(stream.len());
            let mut damaged = stream.clone();
            damaged.drain(start..end);
            tally.case(|| {
                // What loses a byte of its length is not a header with a
                // wrong length: everything behind is moved.
                let mut hits = vec![start..end];
                for message in messages(&stream) {
                    let header = message.offset..message.offset + HEADER;
                    if touches(&(start..end), &header) {
                        hits.push(header);
                    }
                }
                let what = format!("{name} without {start}..{end}");
                survives(&what, &stream, &hits, &damaged);
            });
        }
    }
    tally.all_well_but(6);
}

#[test]
fn an_overwritten_range_costs_only_what_it_took() {
    let mut tally = Tally::default();
    let stream = small();
    let mut dice = Dice(12);
    for _ in 0..600 {
        let start = 8 + dice.below(stream.len() - 8);
        let longest = [2, 50, 400, 3000][dice.below(4)];
        let len = (1 + dice.below(longest)).min(stream.len() - start);
        let with = garbage(&mut dice, len).swap_remove(dice.below(4));
        let mut damaged = stream.clone();
        damaged[start..start + len].copy_from_slice(&with);
        let hit = start..start + len;
        tally.case(|| {
            survives(
                &format!("{start}..{} overwritten", start + len),
                &stream,
                &[hit],
                &damaged,
            );
        });
    }
    tally.all_well();
}

#[test]
fn pure_noise_never_panics() {
    let mut dice = Dice(13);
    for round in 0..300 {
        let len = 1 + dice.below(4000);
        let noise = dice.bytes(len);
        for head in [
            &[][..],
            &[9, 0, 0, 0, 1, 0, 0, 0],
            &[0, 0, 0, 9, 0, 0, 0, 1],
            &[10, 13, 13, 10],
        ] {
            let bytes = [head, &noise].concat();
            match to_stream(&bytes) {
                Ok((_, damage)) => assert!(!damage.is_empty(), "round {round}"),
                Err(InputError::Unknown { .. }) => assert!(head.is_empty(), "round {round}"),
                Err(e) => panic!("round {round}: {e}"),
            }
        }
    }
}

/// Damages a stream and looks at what the program says.
#[track_caller]
fn says(damaged: &[u8], lines: usize) -> String {
    let dir = tempfile::tempdir().unwrap();
    let input = put(dir.path(), "dump.bin", damaged);
    let output = dir.path().join("out");
    let mut last = String::new();
    for command in ["convert", "filter"] {
        let args = [
            OsStr::new(command),
            input.as_ref(),
            OsStr::new("-o"),
            output.as_ref(),
        ];
        let ran = tcplog(args).ended(1);
        assert_eq!(ran.said().len(), lines, "{command}: {}", ran.stderr);
        for line in ran.said() {
            assert!(line.contains("dump.bin: byte"), "{command}: {line}");
        }
        assert!(fs::metadata(&output).unwrap().len() > 0);
        let strict = tcplog(args.into_iter().chain([OsStr::new("--strict")])).ended(2);
        assert_eq!(
            strict.said().len(),
            lines,
            "{command} --strict: {}",
            strict.stderr
        );
        let quiet = tcplog(args.into_iter().chain([OsStr::new("-q")])).ended(1);
        assert_eq!(quiet.stderr, "", "{command} -q");
        last = ran.stderr;
    }
    last
}

#[test]
fn the_program_says_what_was_wrong_and_where() {
    let stream = small();
    let all = places(&stream);
    let second = messages(&stream)[1].offset;

    let cut = all[4].1.start + 100;
    let said = says(&stream[..cut], 1);
    assert!(said.contains(&all[4].1.start.to_string()), "{said}");

    let mut lie = stream.clone();
    lie[second + 8..second + 16].fill(0xff);
    let said = says(&lie, 1);
    assert!(said.contains(&second.to_string()), "{said}");

    let mut garbage = stream.clone();
    garbage.splice(second..second, [0x55; 77]);
    let said = says(&garbage, 1);
    assert!(
        said.contains(&format!("bytes {second} to {}", second + 77)),
        "{said}"
    );

    let mut twice = garbage.clone();
    twice.truncate(cut.max(second + 77 + HEADER + 500));
    says(&twice, 2);
}

#[test]
fn damage_is_reported_alike_for_any_number_of_threads_and_in_pipes() {
    let mut damaged = genuine("multi");
    let mut dice = Dice(21);
    for _ in 0..30 {
        let at = 8 + dice.below(damaged.len() - 8);
        damaged.splice(at..at, dice.bytes(50));
    }
    let (one, file) = convert(&damaged, &["-j", "1", "--dumptime", "0"]);
    let one = one.ended(1);
    assert!(one.said().len() >= 25);
    let (many, same) = convert(&damaged, &["-j", "4", "--dumptime", "0"]);
    let lines = |ran: &support::Ran| -> Vec<String> {
        ran.said()
            .iter()
            .map(|line| line.rsplit_once("in: ").unwrap().1.to_owned())
            .collect()
    };
    assert_eq!(lines(&one), lines(&many.ended(1)));
    assert_same("-j", &same, &file);
    let args = ["convert", "-", "-o", "-", "--dumptime", "0"];
    let piped = tcplog_with_input(args, Some(&damaged)).ended(1);
    assert_same("pipe", &piped.stdout, &file);
}

#[test]
fn inputs_that_are_none() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out");
    let out = out.to_str().unwrap();
    let empty = put(dir.path(), "empty", b"");
    for input in [empty.to_str().unwrap(), "/dev/null"] {
        let ran = tcplog(["convert", input, "-o", out]).ended(1);
        assert_eq!(ran.said().len(), 1, "{input}: {}", ran.stderr);
        let ran = tcplog(["filter", input, "-o", out]).ended(1);
        assert_eq!(ran.said().len(), 1, "{input}: {}", ran.stderr);
    }
    let ran = tcplog_with_input(["convert", "-", "-o", "-"], Some(b"")).ended(1);
    assert_eq!(
        (ran.said().len(), ran.stdout.len()),
        (1, 0),
        "{}",
        ran.stderr
    );
    fs::remove_file(out).ok();

    let noise = put(dir.path(), "noise", &Dice(5).bytes(100_000));
    let text = put(
        dir.path(),
        "text",
        "a plain text file\n".repeat(100).as_bytes(),
    );
    let short = put(dir.path(), "short", b"x");
    let missing = dir.path().join("missing");
    for (input, why) in [
        (missing.as_path(), "No such file"),
        (dir.path(), "irectory"),
        (noise.as_path(), "not black box data"),
        (text.as_path(), "not black box data"),
        (short.as_path(), "not black box data"),
    ] {
        for command in ["convert", "filter"] {
            let name = input.to_str().unwrap();
            let ran = tcplog([command, name, "-o", out]).ended(2);
            assert_eq!(ran.said().len(), 1, "{command}: {}", ran.stderr);
            assert!(
                ran.stderr.contains(name) && ran.stderr.contains(why),
                "{}",
                ran.stderr
            );
            assert!(!fs::exists(out).unwrap(), "{command} {name} left an output");
        }
    }
    // One that cannot be read does not keep the others from being read.
    let good = put(dir.path(), "good", &small());
    let args = [
        "convert",
        missing.to_str().unwrap(),
        good.to_str().unwrap(),
        "-o",
        out,
    ];
    tcplog(args).ended(2);
    let records = blocks(&fs::read(out).unwrap())
        .iter()
        .filter(|b| b.is_record())
        .count();
    assert_eq!(records, places(&small()).len());
    // Nothing unfinished is left behind.
    let left: Vec<_> = fs::read_dir(dir.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .filter(|name| name.as_bytes().starts_with(b"."))
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn outputs_that_cannot_be() {
    let dir = tempfile::tempdir().unwrap();
    let good = put(dir.path(), "good", &small());
    let good = good.to_str().unwrap();
    let nowhere = dir.path().join("no/such/out");
    for out in [dir.path(), nowhere.as_path()] {
        let ran = tcplog(["convert", good, "-o", out.to_str().unwrap()]).ended(2);
        assert!(ran.stderr.contains(out.to_str().unwrap()), "{}", ran.stderr);
    }
    let ran = tcplog(["convert", good, "-D", good]).ended(2);
    assert!(ran.stderr.contains(good), "{}", ran.stderr);
}

#[test]
fn compressed_input_that_is_cut_keeps_what_is_there() {
    let stream = genuine("multi");
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&stream).unwrap();
    let mut xz = liblzma::write::XzEncoder::new(Vec::new(), 1);
    xz.write_all(&stream).unwrap();
    // Small blocks, as a collector that flushes now and then writes them.
    let mut flushed = zstd::stream::write::Encoder::new(Vec::new(), 1).unwrap();
    for part in stream.chunks(100_000) {
        flushed.write_all(part).unwrap();
        flushed.flush().unwrap();
    }
    for (kind, bytes) in [
        ("gzip", gzip.finish().unwrap()),
        ("xz", xz.finish().unwrap()),
        ("zstd", flushed.finish().unwrap()),
    ] {
        let half = bytes.len() / 2;
        let (ran, got) = convert(&bytes[..half], &["--format", "stream"]);
        let ran = ran.ended(1);
        assert!(ran.stderr.contains("compressed"), "{kind}: {}", ran.stderr);
        assert!(
            (1..=2).contains(&ran.said().len()),
            "{kind}: {}",
            ran.stderr
        );
        let kept = kept(&stream, &[], &got);
        assert_eq!((kept.more, kept.misplaced), (0, 0), "{kind}");
        let share = places(&got).len() as f64 / places(&stream).len() as f64;
        assert!(
            (0.25..0.75).contains(&share),
            "{kind}: {share} of the records kept"
        );

        let mut flipped = bytes.clone();
        flipped[half] ^= 0x10;
        let (ran, got) = convert(&flipped, &["--format", "stream"]);
        ran.ended(1);
        assert!(
            places(&got).len() > 1000,
            "{kind}: nothing kept before a flipped bit"
        );
        // Too short to hold anything.
        let (ran, _) = convert(&bytes[..7], &[]);
        assert_ne!(ran.status, 0, "{kind}");
        assert!(!ran.stderr.is_empty());
    }
}

/// Header and records of what a pcapng file turns back into.
fn back(pcapng: &[u8]) -> Result<(Vec<u8>, Vec<Damage>), InputError> {
    to_stream(pcapng)
}

#[test]
fn a_pcapng_file_cut_at_any_byte() {
    let original = without_stale(&small());
    let (pcapng, _) = to_pcapng(&original, true).unwrap();
    let mut end = 0;
    let ends: Vec<(usize, bool)> = blocks(&pcapng)
        .iter()
        .map(|block| {
            end += block.bytes.len();
            (end, block.is_record_block())
        })
        .collect();
    for cut in 12..pcapng.len() {
        let (got, damage) = back(&pcapng[..cut]).unwrap();
        let whole = ends
            .iter()
            .filter(|(end, record)| *end <= cut && *record)
            .count();
        let got = places(&got);
        assert_eq!(got.len(), whole, "cut at {cut}: {damage:?}");
        for (got, wanted) in got.iter().zip(places(&original)) {
            assert_eq!(got.2, wanted.2, "cut at {cut}");
            assert_eq!(
                face(got.0.header()),
                face(wanted.0.header()),
                "cut at {cut}"
            );
        }
        let boundary = ends.iter().any(|(end, _)| *end == cut);
        assert_eq!(
            damage.len(),
            usize::from(!boundary),
            "cut at {cut}: {damage:?}"
        );
    }
}

trait RecordBlock {
    fn is_record_block(&self) -> bool;
}

impl RecordBlock for support::stream::Block<'_> {
    /// Also for blocks of a kind that has no private part.
    fn is_record_block(&self) -> bool {
        [support::stream::PACKET, support::stream::CUSTOM].contains(&self.kind) && self.is_record()
    }
}

#[test]
fn a_pcapng_file_with_flipped_bits() {
    let mut tally = Tally::default();
    let original = without_stale(&small());
    let (pcapng, _) = to_pcapng(&original, true).unwrap();
    let count = places(&original).len();
    let mut starts = Vec::new();
    let mut at = 0;
    for block in blocks(&pcapng) {
        starts.push((at..at + block.bytes.len(), block.kind));
        at += block.bytes.len();
    }
    let mut dice = Dice(31);
    for round in 0..6000 {
        let at = 12 + dice.below(pcapng.len() - 12);
        let bit = dice.below(8);
        let mut damaged = pcapng.clone();
        damaged[at] ^= 1 << bit;
        tally.case(|| {
            let (got, damage) = back(&damaged).unwrap();
            let (place, kind) = starts
                .iter()
                .find(|(place, _)| place.contains(&at))
                .unwrap();
            let what =
                format!("round {round}: bit {bit} of byte {at}, in {place:?} of type {kind}");
            let got = places(&got);
            let wanted = places(&original);
            // Records in order; at most the one that was hit differs or misses.
            let same = got
                .iter()
                .filter(|got| wanted.iter().any(|wanted| wanted.2 == got.2))
                .count();
            let records = [support::stream::PACKET, support::stream::CUSTOM].contains(kind);
            if *kind == support::stream::SECTION {
                // What the section says of its records may be lost, not the records.
                assert_eq!(got.len(), count, "{what}: {damage:?}");
                return;
            }
            if *kind == support::stream::INTERFACE && same < count {
                // Without a link type that is known, no packet can be read.
                assert!(
                    !damage.is_empty(),
                    "{what}: {same} of {count} records, and nothing is said"
                );
                return;
            }

            assert!(
                same >= count - usize::from(records),
                "{what}: {same} of {count}: {damage:?}"
            );
            assert!(got.len() <= count, "{what}");
            // With another type or enterprise number a block is of some other
            // program, and none of our business.
            let foreign = [0..4, 8..12]
                .iter()
                .any(|field| field.contains(&(at - place.start)));
            if got.len() < count && !foreign {
                assert!(
                    !damage.is_empty(),
                    "{what}: a record is gone and nothing is said"
                );
            }
            if records {
                for got in &got {
                    let home = wanted.iter().find(|wanted| wanted.2 == got.2);
                    if let Some(home) = home {
                        assert_eq!(face(got.0.header()), face(home.0.header()), "{what}");
                    }
                }
            }
        });
    }
    tally.all_well();
}

/// The file with the numbers of its block and option headers in big endian.
/// Private values are little endian in either.
fn in_big_endian(pcapng: &[u8]) -> Vec<u8> {
    let mut out = pcapng.to_vec();
    let mut at = 0;
    for block in blocks(pcapng) {
        let end = at + block.bytes.len();
        let mut wide = vec![at, at + 4, end - 4];
        let mut options = match block.kind {
            support::stream::SECTION => {
                wide.push(at + 8);
                out[at + 12..at + 14].reverse();
                out[at + 14..at + 16].reverse();
                out[at + 16..at + 24].reverse();
                at + 24
            }
            support::stream::INTERFACE => {
                out[at + 8..at + 10].reverse();
                wide.push(at + 12);
                at + 16
            }
            support::stream::PACKET => {
                wide.extend((8..28).step_by(4).map(|field| at + field));
                at + 28 + block.packet().len().next_multiple_of(4)
            }
            _ => {
                wide.push(at + 8);
                end - 4
            }
        };
        for field in wide {
            out[field..field + 4].reverse();
        }
        while options + 4 <= end - 4 {
            let code = u16::from_le_bytes([pcapng[options], pcapng[options + 1]]);
            let len = u16::from_le_bytes([pcapng[options + 2], pcapng[options + 3]]);
            out[options..options + 2].reverse();
            out[options + 2..options + 4].reverse();
            if matches!(code, 2_988 | 2_989) {
                out[options + 4..options + 8].reverse();
            }
            options += 4 + usize::from(len).next_multiple_of(4);
        }
        at = end;
    }
    out
}

/// A block has its length twice: where one of them is wrong, the other one
/// leads to the next block, and nothing is lost.
#[test]
fn any_bit_of_any_block_length_costs_nothing() {
    let original = without_stale(&small());
    let (little, _) = to_pcapng(&original, true).unwrap();
    let big = in_big_endian(&little);
    for (order, pcapng) in [("little", &little), ("big", &big)] {
        let (wanted, damage) = back(pcapng).unwrap();
        assert_eq!(places(&wanted).len(), places(&original).len(), "{order}");
        assert_eq!(damage, [], "{order}");
        let mut start = 0;
        for block in blocks(&little) {
            let end = start + block.bytes.len();
            for (at, bit) in (start + 4..start + 8)
                .chain(end - 4..end)
                .flat_map(|at| (0..8).map(move |bit| (at, bit)))
            {
                let what = format!("{order} endian: bit {bit} of byte {at} in {start}..{end}");
                let mut damaged = pcapng.clone();
                damaged[at] ^= 1 << bit;
                let (got, damage) = back(&damaged).unwrap();
                assert_same(&what, &got, &wanted);
                assert_eq!(damage.len(), 1, "{what}: {damage:?}");
                assert_eq!(
                    (damage[0].offset, damage[0].lost),
                    (start as u64, 0),
                    "{what}"
                );
            }
            start = end;
        }
    }
}

/// Without any section header the records are nobody's, but they are there.
#[test]
fn a_first_section_header_of_noise_costs_no_record() {
    let original = without_stale(&small());
    let (little, _) = to_pcapng(&original, true).unwrap();
    let header = blocks(&little)[0].bytes.len();
    for mut damaged in [in_big_endian(&little), little] {
        damaged[4..header].copy_from_slice(&Dice(5).bytes(header - 4));
        let (got, damage) = back(&damaged).unwrap();
        assert_eq!(places(&got).len(), places(&original).len(), "{damage:?}");
        assert_eq!((damage[0].offset, damage[0].lost), (0, header as u64));
    }
}

#[test]
fn a_pcapng_file_of_another_program() {
    // An Ethernet capture: a section, an interface, a packet, no records.
    let mut file = Vec::new();
    let mut block = |kind: u32, body: &[u8]| {
        let len = body.len() as u32 + 12;
        file.extend_from_slice(&kind.to_le_bytes());
        file.extend_from_slice(&len.to_le_bytes());
        file.extend_from_slice(body);
        file.extend_from_slice(&len.to_le_bytes());
    };
    let mut section = 0x1a2b_3c4du32.to_le_bytes().to_vec();
    section.extend_from_slice(&[1, 0, 0, 0]);
    section.extend_from_slice(&[0xff; 8]);
    block(0x0a0d_0d0a, &section);
    block(1, &[1, 0, 0, 0, 0, 0, 4, 0]);
    let mut packet = vec![0; 20];
    packet[12] = 60;
    packet[16] = 60;
    packet.extend_from_slice(&[0x11; 60]);
    block(6, &packet);
    let (ran, _) = convert(&file, &[]);
    let ran = ran.ended(1);
    assert!(ran.stderr.contains("1 packets without"), "{}", ran.stderr);
}

/// A message of its own for each ID, on a port of its own.
fn with_ids(ids: &[Vec<u8>]) -> Vec<u8> {
    let stream = genuine("base-v6");
    let message = messages(&stream)[0];
    let mut out = Vec::new();
    for (number, id) in ids.iter().enumerate() {
        let mut one = message.with_records(message.records().into_iter().take(3));
        one[72..136].fill(0);
        one[72..72 + id.len()].copy_from_slice(id);
        one[16..18].copy_from_slice(&(40_000 + number as u16).to_be_bytes());
        out.extend(one);
    }
    out
}

/// IDs that some program on the host may have set.
fn hostile_ids() -> Vec<Vec<u8>> {
    let text = [
        "../../etc/x",
        "..%2F..%2Fetc%2Fx",
        "/etc/passwd",
        "a/b",
        "a%2Fb",
        "a%2fb",
        ".",
        "..",
        "...",
        ".hidden",
        "-rf",
        "--output=x",
        "records",
        "records.pcapng",
        "UNKNOWN_8000_fd99::1_40000",
        "name",
        "NAME",
        "Name",
        "name.0",
        "name.0.pcapng",
        "name.pcapng",
        "a b",
        "a\tb",
        "a\nb",
        "a\rb",
        "\u{1b}[31mred\u{1b}[0m",
        "\u{1b}]0;title\u{7}",
        "\u{9b}31m",
        "\u{202e}gnp.exe",
        "zero\u{200b}width",
        "zerowidth",
        "$(reboot)",
        "`reboot`",
        "a;b|c&d>e<f",
        "quote\"s'",
        "back\\slash",
        "CON",
        "nul.",
        "trailing ",
        "~",
        "*",
        "é",
        "e\u{301}",
        "UNKNOWN",
        "",
    ];
    let mut ids: Vec<Vec<u8>> = text.iter().map(|id| id.as_bytes().to_vec()).collect();
    ids.push(vec![b'/'; 63]);
    ids.push([&[b'/'; 62][..], b"x"].concat());
    ids.push([b"x", &[b'/'; 62][..]].concat());
    ids.push(vec![b'.'; 63]);
    ids.push(vec![b'A'; 63]);
    ids.push(vec![0xff; 63]);
    ids.push([&[0xff; 62][..], &[0xfe]].concat());
    ids.push(vec![0xff]);
    ids.push(b"%FF".to_vec());
    ids.push("日本語の識別子".as_bytes().to_vec());
    ids.push(b"ok\xc3".to_vec());
    ids.push((1..=31).collect());
    ids.push(vec![0x7f; 10]);
    ids
}

/// Runs with output below a directory that is looked at afterwards.
fn into_directory(ids: &[Vec<u8>], args: &[&str]) -> Vec<(std::ffi::OsString, Vec<u8>)> {
    let dir = tempfile::tempdir().unwrap();
    let input = put(dir.path(), "dump.bin", &with_ids(ids));
    let out = dir.path().join("one/two/three/out");
    let mut all = vec![
        "convert",
        input.to_str().unwrap(),
        "-D",
        out.to_str().unwrap(),
    ];
    all.extend(args);
    tcplog(all).fine();
    // Nothing beside or above the directory.
    let mut at = out.as_path();
    while at != dir.path() {
        let parent = at.parent().unwrap();
        let beside: Vec<_> = fs::read_dir(parent)
            .unwrap()
            .map(|e| e.unwrap().path())
            .collect();
        let wanted = if parent == dir.path() { 2 } else { 1 };
        assert_eq!(beside.len(), wanted, "{beside:?}");
        at = parent;
    }
    files_in(&out)
}

#[test]
fn hostile_ids_give_safe_names_that_tell_them_apart() {
    let ids = hostile_ids();
    for split in ["log-id", "connection", "message"] {
        let files = into_directory(&ids, &["--split", split]);
        assert_eq!(files.len(), ids.len(), "--split {split}");
        let mut left: Vec<&Vec<u8>> = ids.iter().collect();
        for (name, bytes) in &files {
            let text = name
                .to_str()
                .unwrap_or_else(|| panic!("{name:?} is not UTF-8"));
            assert!(
                !text.starts_with(['.', '-', '~']),
                "{text:?} hides or looks like an option"
            );
            assert!(text.ends_with(".pcapng") && text.len() <= 255, "{text:?}");
            let unsafe_char = |c: char| {
                c.is_control()
                    || c.is_whitespace()
                    || "/\\\"'`$&|;<>*?()[]{}!#".contains(c)
                    || ('\u{200b}'..='\u{206f}').contains(&c)
            };
            assert!(!text.contains(unsafe_char), "{text:?}");
            // One message in each, and its header as it was.
            let sections: Vec<_> = blocks(bytes)
                .into_iter()
                .filter(|b| b.kind == support::stream::SECTION)
                .collect();
            assert_eq!(sections.len(), 1, "{text:?}");
            let info = sections[0].private(4).unwrap();
            let id = support::stream::text(&info[72..136]);
            let at = left.iter().position(|other| other.as_slice() == id);
            left.remove(at.unwrap_or_else(|| panic!("{text:?} holds {id:02x?}")));
        }
        assert!(left.is_empty());
    }
}

#[test]
fn an_id_that_is_plain_is_the_name() {
    for id in ["lossy", "web-7.example", "A_b+c,d=e@f"] {
        let files = into_directory(&[id.as_bytes().to_vec()], &[]);
        assert_eq!(files[0].0, format!("{id}.pcapng").as_str());
    }
}

#[test]
fn a_second_run_replaces_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let input = put(dir.path(), "dump.bin", &with_ids(&[b"same".to_vec()]));
    let out = dir.path().join("out");
    let args = [
        "convert",
        input.to_str().unwrap(),
        "-D",
        out.to_str().unwrap(),
    ];
    tcplog(args).fine();
    let first = files_in(&out);
    tcplog(args).fine();
    let second = files_in(&out);
    assert_eq!((first.len(), second.len()), (1, 2));
    assert!(second.contains(&first[0]));
    // A link in the way is not followed.
    let victim = put(dir.path(), "victim", b"precious");
    let fresh = dir.path().join("fresh");
    fs::create_dir(&fresh).unwrap();
    std::os::unix::fs::symlink(&victim, fresh.join("same.pcapng")).unwrap();
    tcplog([
        "convert",
        input.to_str().unwrap(),
        "-D",
        fresh.to_str().unwrap(),
    ])
    .fine();
    assert_eq!(fs::read(&victim).unwrap(), b"precious");
}

#[test]
fn compat_names_with_slashes_stay_in_the_directory() {
    let ids: Vec<Vec<u8>> = hostile_ids()
        .into_iter()
        .filter(|id| id.contains(&b'/'))
        .collect();
    assert!(ids.len() >= 5);
    let files = into_directory(&ids, &["--compat", "tcplog_dumper"]);
    let files: Vec<_> = files
        .into_iter()
        .filter(|(name, _)| name != "records")
        .collect();
    assert_eq!(files.len(), ids.len());
    for (name, bytes) in files {
        let text = name.to_str().unwrap();
        assert!(!text.starts_with('.') && !text.contains("/"), "{text:?}");
        let info = blocks(&bytes)[0].private(4).unwrap().to_vec();
        assert!(
            ids.iter()
                .any(|id| id == support::stream::text(&info[72..136])),
            "{text:?}"
        );
    }
}

/// No control bytes on standard error, whatever the input says.
#[test]
fn hostile_names_do_not_reach_the_terminal() {
    let ids = hostile_ids();
    let mut damaged = with_ids(&ids);
    let mut dice = Dice(41);
    // Damage in each message, so that there is something to say of each.
    let offsets: Vec<usize> = messages(&damaged).iter().map(|m| m.offset).collect();
    for at in offsets.into_iter().rev() {
        damaged.splice(at + HEADER + 100..at + HEADER + 100, dice.bytes(64));
    }
    let dir = tempfile::tempdir().unwrap();
    let input = dir
        .path()
        .join(OsStr::from_bytes(b"in\x1b[31m\x07\xff\npost"));
    fs::write(&input, &damaged).unwrap();
    let out = dir.path().join("out");
    for command in ["convert", "filter"] {
        let ran = tcplog([
            OsStr::new(command),
            input.as_os_str(),
            OsStr::new("-o"),
            out.as_os_str(),
            OsStr::new("-v"),
        ])
        .ended(1);
        assert!(ran.said().len() >= ids.len());
        let control = |c: char| c.is_control() && c != '\n';
        assert!(!ran.stderr.contains(control), "{:?}", ran.stderr);
        assert!(
            ran.said().iter().all(|line| line.starts_with("tcplog: ")),
            "{}",
            ran.stderr
        );
    }
    // Comments of such IDs hold no control characters either.
    for block in blocks(&convert(&with_ids(&ids), &[]).1) {
        if block.kind != support::stream::INTERFACE {
            assert!(!block.comments()[0].contains(char::is_control));
        }
    }
    let missing = dir.path().join(OsStr::from_bytes(b"no\x1b[2Jfile"));
    let args = [
        OsStr::new("convert"),
        missing.as_os_str(),
        OsStr::new("-o"),
        out.as_os_str(),
    ];
    let ran = tcplog(args).ended(2);
    assert!(
        !ran.stderr.contains(|c: char| c.is_control() && c != '\n'),
        "{:?}",
        ran.stderr
    );
}

#[test]
fn hostile_names_of_outputs_do_not_reach_the_terminal() {
    let dir = tempfile::tempdir().unwrap();
    let input = put(dir.path(), "in", &small());
    let under = dir
        .path()
        .join(OsStr::from_bytes(b"no\x1b[2Jdir"))
        .join("out");
    let args = [
        OsStr::new("convert"),
        input.as_os_str(),
        OsStr::new("-o"),
        under.as_os_str(),
    ];
    let ran = tcplog(args).ended(2);
    assert!(
        !ran.stderr.contains(|c: char| c.is_control() && c != '\n'),
        "{:?}",
        ran.stderr
    );
}

/// A claimed length is never trusted for an allocation.
#[test]
fn a_claimed_length_allocates_nothing() {
    let mut stream = small();
    stream[8..16].copy_from_slice(&(1u64 << 40).to_le_bytes());
    let dir = tempfile::tempdir().unwrap();
    let input = put(dir.path(), "in", &stream);
    let out = dir.path().join("out");
    // 400 MB of address space: enough for the program, not for the claim.
    let status = std::process::Command::new("sh")
        .arg("-c")
        .arg("ulimit -v 400000; exec \"$@\"")
        .arg("sh")
        .arg(env!("CARGO_BIN_EXE_tcplog"))
        .args([
            OsStr::new("convert"),
            input.as_ref(),
            OsStr::new("-j"),
            OsStr::new("1"),
        ])
        .args([OsStr::new("-o"), out.as_ref()])
        .stderr(std::process::Stdio::null())
        .status()
        .unwrap();
    assert_eq!(status.code(), Some(1));
    assert!(u64_at(&stream, 8) > 1 << 39 && record_len(&stream[HEADER..]) >= 328);
}

#[test]
fn filtering_damaged_streams_keeps_the_good_messages() {
    let stream = genuine("multi");
    let second = messages(&stream)[1];
    let mut damaged = stream.clone();
    damaged.splice(second.offset..second.offset, [0x5a; 300]);
    let id = String::from_utf8(messages(&stream)[2].id().to_vec()).unwrap();
    let wanted: Vec<u8> = messages(&stream)
        .iter()
        .filter(|m| m.id() == id.as_bytes())
        .flat_map(|m| m.bytes.iter().copied())
        .collect();
    let (ran, got) = filter(&damaged, &["--id", &id]);
    ran.ended(1);
    assert_same("filtered", &got, &wanted);
}

/// A stream in which `range` holds zeros, as a copy with a hole in it has.
fn with_hole(name: &str, range: Range<usize>) -> (Vec<u8>, Vec<u8>) {
    let stream = genuine(name);
    let mut holed = stream.clone();
    holed[range].fill(0);
    (stream, holed)
}

#[test]
fn zeros_are_no_records() {
    for (name, range) in [
        ("multi", 409_600..425_984),
        ("base-tso", 122_880..233_744),
        ("kernel-ids", 204_800..221_184),
        ("rack-loss", 1000..1001 + 328 * 40),
    ] {
        let (stream, holed) = with_hole(name, range.clone());
        let (got, damage) = to_stream(&holed).unwrap();
        assert!(!damage.is_empty(), "{name}: nothing is said");
        let invented = places(&got)
            .iter()
            .filter(|(_, _, record)| record.event() == 0)
            .count();
        assert_eq!(invented, 0, "{name}");
        let kept = kept(&stream, std::slice::from_ref(&range), &got);
        assert_eq!((kept.lost, kept.misplaced), (0, 0), "{name}: {kept:?}");
    }
}

#[test]
fn records_whose_header_is_lost_come_out_as_nobodys() {
    let stream = genuine("kernel-ids");
    // The header of a message of some size goes, and nothing else.
    let victim = messages(&stream)
        .into_iter()
        .skip(1)
        .find(|m| m.records().len() > 20)
        .unwrap();
    let mut damaged = stream.clone();
    damaged[victim.offset..victim.offset + HEADER].fill(0x5a);
    let (got, damage) = to_stream(&damaged).unwrap();
    let orphans: Vec<&[u8]> = places(&got)
        .iter()
        .filter(|(message, ..)| {
            message.id() == b"UNKNOWN" && ends(message.header())[4..36] == [0; 32]
        })
        .map(|(_, _, record)| record.0)
        .collect();
    let lost: Vec<&[u8]> = victim.records().iter().map(|r| r.0).collect();
    assert_eq!(orphans, lost);
    assert!(
        damage.iter().any(|d| d.what.contains("is lost")),
        "{damage:?}"
    );
}

/// A header that can also be read as a record of the message before it, with
/// a serial number behind that message's last: framing must not go back and
/// forth between the two.
#[test]
fn a_header_that_reads_as_a_record_is_read_once() {
    let stream = genuine("base-v6");
    let message = messages(&stream)[0];
    let records = message.records();
    let short = message.with_records(records.iter().copied().take(3));
    let last = records[2].0;
    let mut header = message.header().to_vec();
    header[8..16].copy_from_slice(&5000u64.to_le_bytes());
    // What a record has at these places: serial, stack, event, flags, state,
    // start time and initial sequence number.
    header[20..28].copy_from_slice(&last[20..28]);
    header[20..24].copy_from_slice(&1u32.to_le_bytes());
    header[26..28].fill(0);
    header[56..64].copy_from_slice(&4u64.to_le_bytes());
    header[60..72].copy_from_slice(&last[60..72]);
    let mut stream = short.clone();
    stream.extend_from_slice(&header);
    stream.extend_from_slice(&[0xff; 5000]);
    stream.extend_from_slice(&short);
    let (got, damage) = to_stream(&stream).unwrap();
    assert!(damage.len() < 10 && got.len() < 2 * stream.len());
    let twice = messages(&got)
        .iter()
        .filter(|m| m.bytes == &short[..])
        .count();
    assert_eq!(twice, 2, "the good messages on both sides");
}

#[test]
fn one_damage_over_many_windows_is_one() {
    let mut stream = genuine("base-v6");
    let end = stream.len() as u64;
    stream.extend(std::iter::repeat_n(0u8, 3_000_000));
    let (_, damage) = to_stream(&stream).unwrap();
    assert_eq!(damage.len(), 1, "{damage:?}");
    assert_eq!((damage[0].offset, damage[0].lost), (end, 3_000_000));
}

/// Without its section header, a section must not pass for one more of the
/// message before.
#[test]
fn a_lost_section_header_lends_nobody_anothers() {
    let stream = genuine("kernel-ids");
    let (pcapng, _) = to_pcapng(&stream, false).unwrap();
    let all = messages(&stream);
    let sections: Vec<usize> = memchr::memmem::find_iter(&pcapng, b"\x0a\x0d\x0d\x0a")
        .filter(|at| pcapng[at + 8..].starts_with(&[0x4d, 0x3c, 0x2b, 0x1a]))
        .collect();
    let mut lost = 0;
    for (victim, &at) in sections.iter().enumerate().take(12).skip(1) {
        let len = u32::from_le_bytes(pcapng[at + 4..at + 8].try_into().unwrap()) as usize;
        let mut damaged = pcapng.clone();
        damaged.drain(at..at + len);
        let (got, damage) = back(&damaged).unwrap();
        assert!(!damage.is_empty(), "section {victim}: nothing is said");
        for (message, _, record) in places(&got) {
            let here = ends(message.header());
            let nobodys = here[4..36] == [0; 32];
            lost += usize::from(nobodys);
            let known = all.iter().any(|m| {
                ends(m.header()) == here
                    && m.records().iter().any(|r| r.0[16..32] == record.0[16..32])
            });
            assert!(
                nobodys || known,
                "section {victim}: a record under another's header"
            );
        }
    }
    assert!(lost > 0, "none of them had a record");
}
