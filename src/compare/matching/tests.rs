//! Matching on segments made by hand.

use super::*;
use crate::bblog::tcp::{ACK, PSH, SYN};
use crate::compare::segment::{Options, Tcp};
use proptest::prelude::*;

const MS: i64 = 1_000_000;

fn segment(direction: Direction, seq: u32, len: u32, ms: i64) -> Segment {
    Segment {
        connection: 0,
        direction,
        tcp: Some(Tcp {
            seq,
            ack: 7,
            flags: ACK,
            is_closed: false,
            options: Options::of(b""),
        }),
        len,
        time: Some(ms * MS),
        place: ms,
        failed: false,
        selected: true,
    }
}

fn out(seq: u32, len: u32, ms: i64) -> Segment {
    segment(Direction::Out, seq, len, ms)
}

fn with(mut segment: Segment, change: impl Fn(&mut Tcp)) -> Segment {
    segment.tcp.iter_mut().for_each(change);
    segment
}

fn run(log: &[Segment], wire: &[Segment]) -> Matches {
    matches(Sides {
        log,
        wire,
        flipped: false,
    })
}

/// Log and wire of each merge, and what is missing.
fn merged(matches: &Matches) -> Vec<(MergeKind, &[u32], &[u32], u32)> {
    let all = matches.merged.iter();
    all.map(|m| (m.kind(), &m.log[..], &m.wire[..], m.missing))
        .collect()
}

#[test]
fn every_kind_of_merge() {
    // Sequence numbers go round in the middle of it.
    let start = u32::MAX - 149;
    let pieces = |direction| {
        let piece =
            |(at, len): (u32, u32)| segment(direction, start.wrapping_add(at), len, i64::from(at));
        [(0, 100), (100, 100), (200, 50)].map(piece)
    };
    let whole = |direction| [segment(direction, start, 250, 0)];
    let (one, several) = (whole(Direction::In), pieces(Direction::In));
    let all = &[0, 1, 2][..];
    assert_eq!(
        merged(&run(&one, &several)),
        [(MergeKind::Lro, &[0][..], all, 0)]
    );
    assert_eq!(
        merged(&run(&several, &one)),
        [(MergeKind::CaptureMerged, all, &[0][..], 0)]
    );
    let (one, several) = (whole(Direction::Out), pieces(Direction::Out));
    assert_eq!(
        merged(&run(&one, &several)),
        [(MergeKind::Tso, &[0][..], all, 0)]
    );
    let other = [
        segment(Direction::Out, start, 150, 0),
        segment(Direction::Out, start.wrapping_add(150), 100, 1),
    ];
    assert_eq!(
        merged(&run(&other, &several)),
        [(MergeKind::Regrouped, &[0, 1][..], all, 0)]
    );
    // The piece in the middle was lost.
    let holed = [several[0], several[2]];
    assert_eq!(
        merged(&run(&one, &holed)),
        [(MergeKind::Tso, &[0][..], &[0, 1][..], 100)]
    );
    assert_eq!(
        merged(&run(&holed, &one)),
        [(MergeKind::CaptureMerged, &[0, 1][..], &[0][..], 100)]
    );
}

#[test]
fn what_only_looks_like_pieces() {
    let one = [out(0, 200, 0)];
    let pieces = [out(0, 100, 0), out(100, 100, 0)];
    assert_eq!(run(&one, &pieces).merged.len(), 1);
    // PSH may get lost, other flags do not.
    let push = pieces.map(|piece| with(piece, |tcp| tcp.flags |= PSH));
    assert_eq!(run(&one, &push).merged.len(), 1);
    let syn = pieces.map(|piece| with(piece, |tcp| tcp.flags |= SYN));
    assert_eq!(run(&one, &syn).merged.len(), 0);
    let acked = pieces.map(|piece| with(piece, |tcp| tcp.ack = 8));
    assert_eq!(run(&one, &acked).merged.len(), 0);
    let options = pieces.map(|piece| with(piece, |tcp| tcp.options = Options::of(b"x")));
    assert_eq!(run(&one, &options).merged.len(), 0);
    // A third of it, and nothing else.
    assert_eq!(run(&one, &[out(100, 60, 0)]).merged.len(), 0);
    // Its other direction.
    let other = pieces.map(|piece| segment(Direction::In, piece.seq(), 100, 0));
    assert_eq!(run(&one, &other).merged.len(), 0);
}

/// LRO gives what it merged the acknowledgement of the last one, which may
/// have no payload.
#[test]
fn acknowledgements_in_a_merge() {
    let record = with(segment(Direction::In, 0, 200, 0), |tcp| tcp.ack = 9);
    let wire = [
        segment(Direction::In, 0, 100, 0),
        segment(Direction::In, 100, 100, 0),
        with(segment(Direction::In, 200, 0, 0), |tcp| tcp.ack = 8),
        with(segment(Direction::In, 200, 0, 0), |tcp| tcp.ack = 9),
        with(segment(Direction::In, 200, 0, 0), |tcp| tcp.ack = 10),
    ];
    assert_eq!(
        merged(&run(&[record], &wire)),
        [(MergeKind::Lro, &[0][..], &[0, 1, 2, 3][..], 0)]
    );
}

/// Of what was sent twice in the same pieces, the nearer pieces are taken.
#[test]
fn merges_by_time() {
    let clock = [out(5000, 10, 0), out(6000, 10, 1000)];
    let log = [&[out(0, 200, 1000)], &clock[..]].concat();
    let piece = |ms: i64| [out(0, 100, ms), out(100, 100, ms)];
    let wire = [&piece(0)[..], &piece(1001), &clock[..]].concat();
    assert_eq!(
        merged(&run(&log, &wire)),
        [(MergeKind::Tso, &[0][..], &[2, 3][..], 0)]
    );
}

#[test]
fn without_options_where_they_are_cut() {
    let log = [
        with(out(0, 10, 0), |tcp| tcp.options = Options::of(b"x")),
        with(out(0, 10, 500), |tcp| tcp.options = Options::of(b"y")),
        out(10, 10, 501),
    ];
    let cut = with(out(0, 10, 500), |tcp| tcp.options = Options::CUT);
    let matches = run(&log, &[cut, out(10, 10, 501)]);
    assert_eq!(matches.wire, [Fate::Is(1), Fate::Is(2)]);
    assert_eq!((matches.log[0], matches.without_options), (Fate::Alone, 1));
}

/// What is made to look alike costs no more than other data.
#[test]
fn many_that_are_the_same() {
    let same: Vec<Segment> = (0..60_000).map(|ms| out(0, 10, ms)).collect();
    let matches = run(&same[..50_000], &same);
    let alone = matches.wire.iter().filter(|f| **f == Fate::Alone).count();
    assert_eq!(alone, 10_000);
    // Wholes whose pieces never come together.
    let wholes: Vec<Segment> = (0..30_000).map(|ms| out(0, 1_000_000, ms)).collect();
    let pieces: Vec<Segment> = (0..30_000).map(|ms| out(ms as u32 % 50, 1, ms)).collect();
    assert_eq!(run(&wholes, &pieces).merged.len(), 0);
}

/// Segments of one or two directions in few numbers, so that many are alike.
fn some() -> impl Strategy<Value = Vec<Segment>> {
    let one = (
        0_u32..12,
        0_u32..5,
        0_i64..2000,
        any::<bool>(),
        any::<bool>(),
    );
    let one = one.prop_map(|(seq, len, ms, incoming, cut)| {
        let direction = Direction::Out.flipped(incoming);
        with(segment(direction, seq, len, ms), |tcp| {
            if cut && seq == 3 {
                tcp.options = Options::CUT;
            }
        })
    });
    prop::collection::vec(one, 0..60)
}

proptest! {
    #[test]
    fn both_sides_agree(log in some(), wire in some(), flipped in any::<bool>()) {
        let sides = Sides { log: &log, wire: &wire, flipped };
        let matches = matches(sides);
        let mut parts = vec![(0, 0); matches.merged.len()];
        for (at, fate) in matches.log.iter().enumerate() {
            match fate {
                Fate::Alone => {}
                Fate::Is(other) => {
                    prop_assert_eq!(matches.wire[*other as usize], Fate::Is(at as u32));
                    let (one, other) = (&log[at], &wire[*other as usize]);
                    prop_assert_eq!(one.direction, sides.wire_direction(other));
                    prop_assert_eq!((one.seq(), one.len), (other.seq(), other.len));
                }
                Fate::Part(number) => parts[*number as usize].0 += 1,
            }
        }
        for fate in &matches.wire {
            if let Fate::Part(number) = fate {
                parts[*number as usize].1 += 1;
            }
        }
        for (merged, (of_log, of_wire)) in matches.merged.iter().zip(parts) {
            prop_assert_eq!((merged.log.len(), merged.wire.len()), (of_log, of_wire));
            let sum = |side: &[Segment], places: &[u32]| -> u32 {
                places.iter().map(|at| side[*at as usize].len).sum()
            };
            let (one, other) = (sum(&log, &merged.log), sum(&wire, &merged.wire));
            prop_assert_eq!(one.abs_diff(other), merged.missing);
        }
    }

    #[test]
    fn what_is_the_same_matches_itself(log in some()) {
        let mut log = log;
        log.sort_by_key(|segment| segment.time);
        let matches = run(&log, &log);
        prop_assert!(matches.log.iter().all(|fate| matches!(fate, Fate::Is(_))));
    }
}
