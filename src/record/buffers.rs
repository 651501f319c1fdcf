//! Buffers on their way back from the writers to the reader: fresh memory for
//! each message would cost more than copying into it.

use std::sync::Mutex;

/// Emptied buffers.
#[derive(Default)]
pub struct Buffers {
    inner: Mutex<Vec<Vec<u8>>>,
}

/// Buffers that are kept, and the largest of them; what a piece of a message
/// takes is rarely more.
const MOST: usize = 32;
const LARGEST: usize = 512 * 1024;

impl Buffers {
    /// A buffer, empty or not; a new one if there is none.
    pub fn take(&self) -> Vec<u8> {
        let buffer = self.inner.lock().ok().and_then(|mut inner| inner.pop());
        buffer.unwrap_or_default()
    }

    pub fn give(&self, buffer: Vec<u8>) {
        if buffer.capacity() <= LARGEST
            && let Ok(mut inner) = self.inner.lock()
            && inner.len() < MOST
        {
            inner.push(buffer);
        }
    }
}
