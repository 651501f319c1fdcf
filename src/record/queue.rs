//! Lanes of pieces between the reader and the writers, bounded in bytes over
//! all lanes together.
//!
//! Each lane belongs to one writer, so what goes into one lane is written in
//! its order. The channel crates bound by count, and cannot give up what is
//! oldest over several lanes; hence this one.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// What to do with a new piece when the queue is full.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Overload {
    /// The reader waits; the kernel keeps what is not read.
    #[default]
    Block,
    /// The oldest pieces go.
    DropOldest,
}

/// Something that takes up room.
pub trait Weight {
    /// Bytes of memory.
    fn weight(&self) -> usize;
}

/// What is queued, by how much.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Load {
    pub bytes: usize,
    pub pieces: usize,
    /// The most bytes that were queued at once.
    pub peak: usize,
}

/// The queue.
pub struct Queue<T> {
    inner: Mutex<Inner<T>>,
    /// One for each lane: something came, or nothing will.
    filled: Vec<Condvar>,
    /// Room was made.
    emptied: Condvar,
    limit: usize,
    overload: Overload,
}

struct Inner<T> {
    /// Pieces with the number of their arrival.
    lanes: Vec<VecDeque<(u64, T)>>,
    arrived: u64,
    load: Load,
    closed: bool,
}

/// What waiting for a piece came to.
#[derive(Debug, PartialEq, Eq)]
pub enum Taken<T> {
    Piece(T),
    /// Nothing came in the given time.
    Nothing,
    /// The queue is closed and this lane is empty.
    End,
}

impl<T: Weight> Queue<T> {
    /// A queue of `lanes` lanes that holds at most `limit` bytes; a piece
    /// larger than that is taken when the queue is empty.
    pub fn new(lanes: usize, limit: usize, overload: Overload) -> Queue<T> {
        Queue {
            inner: Mutex::new(Inner {
                lanes: (0..lanes).map(|_| VecDeque::new()).collect(),
                arrived: 0,
                load: Load::default(),
                closed: false,
            }),
            filled: (0..lanes).map(|_| Condvar::new()).collect(),
            emptied: Condvar::new(),
            limit,
            overload,
        }
    }

    fn inner(&self) -> MutexGuard<'_, Inner<T>> {
        // No code that holds the lock panics half way through a change.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a piece into a lane. What had to go for it is given to `dropped`.
    /// Waits under [`Overload::Block`] until there is room, or the queue is
    /// closed.
    pub fn give(&self, lane: usize, piece: T, mut dropped: impl FnMut(T)) {
        let weight = piece.weight();
        // Given away behind the lock: whoever takes them may wait.
        let mut gone = Vec::new();
        let mut inner = self.inner();
        while inner.load.pieces > 0 && inner.load.bytes.saturating_add(weight) > self.limit {
            match self.overload {
                Overload::Block if inner.closed => break,
                Overload::Block => {
                    inner = self
                        .emptied
                        .wait(inner)
                        .unwrap_or_else(PoisonError::into_inner);
                }
                Overload::DropOldest => match inner.take_oldest() {
                    Some(old) => gone.push(old),
                    None => break,
                },
            }
        }
        let number = inner.arrived;
        inner.arrived += 1;
        inner.load.bytes = inner.load.bytes.saturating_add(weight);
        inner.load.pieces += 1;
        inner.load.peak = inner.load.peak.max(inner.load.bytes);
        match inner.lanes.get_mut(lane) {
            Some(queue) => queue.push_back((number, piece)),
            None => gone.push(piece),
        }
        drop(inner);
        if let Some(filled) = self.filled.get(lane) {
            filled.notify_one();
        }
        gone.into_iter().for_each(&mut dropped);
    }

    /// The next piece of a lane; waits for one at most for `patience`.
    pub fn take(&self, lane: usize, patience: Duration) -> Taken<T> {
        let Some(filled) = self.filled.get(lane) else {
            return Taken::End;
        };
        let empty = |inner: &mut Inner<T>| {
            !inner.closed && inner.lanes.get(lane).is_none_or(VecDeque::is_empty)
        };
        let (mut inner, _) = filled
            .wait_timeout_while(self.inner(), patience, empty)
            .unwrap_or_else(PoisonError::into_inner);
        let piece = inner.lanes.get_mut(lane).and_then(VecDeque::pop_front);
        match piece {
            Some((_, piece)) => {
                inner.lighten(&piece);
                drop(inner);
                self.emptied.notify_one();
                Taken::Piece(piece)
            }
            None if inner.closed => Taken::End,
            None => Taken::Nothing,
        }
    }

    /// Nothing more is given; what is queued can still be taken.
    pub fn close(&self) {
        self.inner().closed = true;
        self.emptied.notify_all();
        self.filled.iter().for_each(Condvar::notify_all);
    }

    pub fn load(&self) -> Load {
        self.inner().load
    }
}

impl<T: Weight> Inner<T> {
    fn lighten(&mut self, piece: &T) {
        self.load.bytes = self.load.bytes.saturating_sub(piece.weight());
        self.load.pieces = self.load.pieces.saturating_sub(1);
    }

    fn take_oldest(&mut self) -> Option<T> {
        let oldest = self
            .lanes
            .iter_mut()
            .filter(|lane| !lane.is_empty())
            .min_by_key(|lane| lane.front().map(|(number, _)| *number))?;
        let (_, piece) = oldest.pop_front()?;
        self.lighten(&piece);
        Some(piece)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Weight for usize {
        fn weight(&self) -> usize {
            *self
        }
    }

    const NOW: Duration = Duration::ZERO;

    fn none(_: usize) {
        panic!("nothing is dropped");
    }

    #[test]
    fn lanes_keep_their_order() {
        let queue = Queue::new(2, 100, Overload::Block);
        for (lane, piece) in [(0, 1), (1, 2), (0, 3), (1, 4)] {
            queue.give(lane, piece, none);
        }
        assert_eq!(queue.load().bytes, 10);
        assert_eq!(queue.take(1, NOW), Taken::Piece(2));
        assert_eq!(queue.take(0, NOW), Taken::Piece(1));
        assert_eq!(queue.take(0, NOW), Taken::Piece(3));
        assert_eq!(queue.take(0, NOW), Taken::Nothing);
        queue.close();
        assert_eq!(queue.take(0, NOW), Taken::End);
        assert_eq!(queue.take(1, NOW), Taken::Piece(4));
        assert_eq!(queue.take(1, NOW), Taken::End);
        assert_eq!((queue.load().bytes, queue.load().peak), (0, 10));
    }

    #[test]
    fn the_oldest_go_whatever_their_lane() {
        let queue = Queue::new(2, 10, Overload::DropOldest);
        let mut gone = Vec::new();
        for (lane, piece) in [(0, 4), (1, 5), (0, 3), (1, 9)] {
            queue.give(lane, piece, |old| gone.push(old));
        }
        assert_eq!(gone, [4, 5, 3]);
        assert_eq!(queue.take(1, NOW), Taken::Piece(9));
        // A piece above the limit is taken alone.
        queue.give(0, 50, none);
        assert_eq!(queue.load().bytes, 50);
    }

    #[test]
    fn a_full_queue_makes_the_reader_wait() {
        let queue = Queue::new(1, 10, Overload::Block);
        queue.give(0, 8, none);
        std::thread::scope(|scope| {
            let giving = scope.spawn(|| queue.give(0, 7, none));
            std::thread::sleep(Duration::from_millis(20));
            assert!(!giving.is_finished());
            assert_eq!(queue.take(0, NOW), Taken::Piece(8));
            assert!(giving.join().is_ok());
        });
        assert_eq!(queue.take(0, NOW), Taken::Piece(7));
        assert_eq!(queue.load().peak, 8);
    }

    #[test]
    fn closing_frees_who_waits() {
        let queue: Queue<usize> = Queue::new(1, 10, Overload::Block);
        std::thread::scope(|scope| {
            let taking = scope.spawn(|| queue.take(0, Duration::from_secs(60)));
            queue.close();
            assert!(matches!(taking.join(), Ok(Taken::End)));
        });
    }
}
