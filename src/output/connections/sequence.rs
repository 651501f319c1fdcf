//! Comparing numbers that wrap: TCP sequence numbers.

/// `a` comes after `b`, as `SEQ_GT` of the kernel.
#[inline]
pub fn after(a: u32, b: u32) -> bool {
    a.wrapping_sub(b) as i32 > 0
}

#[inline]
pub fn at_or_after(a: u32, b: u32) -> bool {
    !after(b, a)
}

#[inline]
pub fn before(a: u32, b: u32) -> bool {
    after(b, a)
}
