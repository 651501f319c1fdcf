//! Live memory and other devices: read a page at a time, around what refuses.

use super::source::ReadAt;
use std::fs::File;
use std::io::{ErrorKind, Seek, SeekFrom};

/// What a device is read in, bytes: a page of memory, whole sectors of disks.
pub(super) const PAGE: u64 = 4096;

/// More bytes than any device has: what has as many, as zero(4), has no end.
pub(super) const ENDLESS: u64 = 1 << 60;

/// Fills `buffer` from `offset` on; returns how many bytes there were up to
/// the first that cannot be read. `/dev/mem` and `/dev/kmem` answer EFAULT for
/// a page that is not there, and less than asked when it is not the first.
pub(super) fn read_pages(reader: &dyn ReadAt, offset: u64, buffer: &mut [u8]) -> usize {
    let mut done = 0;
    let mut single = false;
    while let Some(rest) = buffer.get_mut(done..).filter(|rest| !rest.is_empty()) {
        let Some(at) = offset.checked_add(done as u64) else {
            break;
        };
        let page = usize::try_from(PAGE - at % PAGE).unwrap_or(usize::MAX);
        let len = match single {
            true => rest.len().min(page),
            false => rest.len(),
        };
        let Some(piece) = rest.get_mut(..len) else {
            break;
        };
        match reader.read_at(piece, at) {
            Ok(0) => break,
            Ok(n) => done += n.min(len),
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            // Some devices refuse a long read for its last page.
            Err(_) if !single && len > page => single = true,
            Err(_) => break,
        }
    }
    done
}

/// Bytes of a device, for those that have an end. Disks of FreeBSD are
/// character devices whose end only an ioctl tells; so it is searched by
/// reading, which costs two reads for each doubling.
pub(super) fn size_of(file: &mut File) -> u64 {
    match file.seek(SeekFrom::End(0)) {
        Ok(size) if size > 0 => size,
        _ => search_end(file),
    }
}

fn search_end(reader: &dyn ReadAt) -> u64 {
    let mut page = [0; PAGE as usize];
    let mut reads = |number: u64| {
        number
            .checked_mul(PAGE)
            .map_or(0, |at| read_pages(reader, at, &mut page))
    };
    if reads(0) == 0 {
        return 0;
    }
    let mut there: u64 = 0;
    let mut beyond: u64 = 1;
    while reads(beyond) > 0 {
        there = beyond;
        if beyond * PAGE >= ENDLESS {
            return ENDLESS;
        }
        beyond *= 2;
    }
    while beyond - there > 1 {
        let middle = there + (beyond - there) / 2;
        match reads(middle) {
            0 => beyond = middle,
            _ => there = middle,
        }
    }
    there * PAGE + reads(there) as u64
}

/// Physical memory of this machine, as FreeBSD's `vm.phys_segs` prints it:
/// lines `start: 0x...` and `end: 0x...` of segments, end not included.
pub(super) fn physical_segments(text: &str) -> Vec<(u64, u64)> {
    let mut segments = Vec::new();
    let mut start = None;
    for line in text.lines() {
        let Some((key, value)) = line.trim().split_once(':') else {
            continue;
        };
        let digits = value.trim().trim_start_matches("0x");
        let Ok(value) = u64::from_str_radix(digits, 16) else {
            continue;
        };
        match (key, start) {
            ("start", _) => start = Some(value),
            ("end", Some(from)) if value > from => {
                segments.push((from, value - from));
                start = None;
            }
            _ => {}
        }
    }
    segments.sort_unstable();
    segments
}

/// The physical memory of this machine: address and length of each segment.
#[cfg(target_os = "freebsd")]
pub(super) fn installed_memory() -> Vec<(u64, u64)> {
    // sysctl(8) and not sysctl(3): the latter needs unsafe code for a text.
    std::process::Command::new("/sbin/sysctl")
        .args(["-n", "vm.phys_segs"])
        .output()
        .map(|output| physical_segments(&String::from_utf8_lossy(&output.stdout)))
        .unwrap_or_default()
}

/// The physical memory of this machine: address and length of each segment.
#[cfg(not(target_os = "freebsd"))]
pub(super) fn installed_memory() -> Vec<(u64, u64)> {
    // Only "System RAM" of the top level: devices lie in between. Without
    // privilege all addresses read as zero, and nothing comes of it.
    std::fs::read_to_string("/proc/iomem")
        .map(|text| linux_segments(&text))
        .unwrap_or_default()
}

#[cfg(not(target_os = "freebsd"))]
fn linux_segments(text: &str) -> Vec<(u64, u64)> {
    let mut lines = String::new();
    for line in text.lines().filter(|line| !line.starts_with(' ')) {
        if let Some((range, "System RAM")) = line.split_once(" : ")
            && let Some((start, last)) = range.split_once('-')
            && let Ok(last) = u64::from_str_radix(last, 16)
        {
            lines.push_str(&format!(
                "start: 0x{start}\nend: {:#x}\n",
                last.saturating_add(1)
            ));
        }
    }
    physical_segments(&lines)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io;

    /// Pages 2 and 3 refuse, and a read over them is short.
    struct Holes(Vec<u8>);

    impl ReadAt for Holes {
        fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
            if (8192..16384).contains(&offset) {
                return Err(io::Error::from_raw_os_error(14));
            }
            let end = match offset {
                0..8192 => 8192,
                _ => self.0.len(),
            };
            let from = (offset as usize).min(end);
            let len = buffer.len().min(end - from);
            buffer[..len].copy_from_slice(&self.0[from..from + len]);
            Ok(len)
        }
    }

    #[test]
    fn reads_up_to_what_refuses() {
        let holes = Holes((0..20_000u32).map(|i| i as u8).collect());
        let mut buffer = vec![0; 20_000];
        assert_eq!(read_pages(&holes, 10, &mut buffer), 8182);
        assert_eq!(buffer[..8182], holes.0[10..8192]);
        assert_eq!(read_pages(&holes, 8192, &mut buffer), 0);
        assert_eq!(read_pages(&holes, 16_384, &mut buffer), 3616);
    }

    #[test]
    fn finds_the_end() {
        struct Disk(u64);
        impl ReadAt for Disk {
            fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
                Ok((self.0.saturating_sub(offset) as usize).min(buffer.len()))
            }
        }
        for size in [0, 1, 512, 4096, 4608, 1 << 20, (1 << 40) + 512] {
            assert_eq!(search_end(&Disk(size)), size);
        }
        assert_eq!(search_end(&Disk(u64::MAX)), ENDLESS);
    }

    #[test]
    fn reads_segments() {
        let text = "\nSEGMENT 0:\n\nstart:     0x1000\nend:       0x9f000\ndomain:    0\n\
                    SEGMENT 1:\n\nstart:     0x100000\nend:       0x3fff0000\n";
        let expected = vec![(0x1000, 0x9e000), (0x10_0000, 0x3fef_0000)];
        assert_eq!(physical_segments(text), expected);
        assert_eq!(physical_segments("start: 0x10\nend: 0x8\nend: 0x9\n"), []);
    }
}
