//! Records the program's activity in memory that survives a reset.
//!
//! With a watchdog, a hang ends in a reset. The next start reads the page and reports in which part of the loop it
//! happened, and how many resets there were since power-on. After a loss of power, the content of memory is
//! random, so the page has a checksum.

use core::cell::UnsafeCell;
use core::mem::MaybeUninit;

use embedded_io::Write;

use crate::classify::Doing;
use crate::report::Report;

const MAGIC: u32 = 0x666f_6c64;

/// The page. It belongs in a section that the start-up code does not clear: with `cortex-m-rt`,
/// `#[link_section = ".uninit.diary"]`.
#[repr(C)]
pub struct Page(UnsafeCell<MaybeUninit<[u32; 3]>>);

// SAFETY: only `Diary` accesses it, and programs have one.
unsafe impl Sync for Page {}

impl Page {
    /// Keeps the previous content of the memory.
    #[allow(clippy::new_without_default)]
    pub const fn new() -> Self {
        Self(UnsafeCell::new(MaybeUninit::uninit()))
    }
}

/// The record of the program before the reset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Past {
    /// The activity at the reset.
    pub doing: Doing,
    /// The number of resets since power-on, including this one.
    pub resets: u32,
}

/// Writes the page.
pub struct Diary {
    page: &'static Page,
    resets: u32,
}

impl Diary {
    /// Reads the old record and starts a new one. Call this once.
    pub fn open(page: &'static Page) -> (Self, Option<Past>) {
        // SAFETY: any bits are a `u32`; a volatile read of memory that nothing has written since the reset returns
        // its content.
        let [magic, resets, doing] = unsafe { page.0.get().cast::<[u32; 3]>().read_volatile() };
        let doing = [Doing::Start, Doing::Picture, Doing::Network, Doing::Result]
            .into_iter()
            .find(|&d| MAGIC ^ resets ^ code(d) == magic && code(d) == doing);
        let past = doing.map(|doing| Past { doing, resets: resets.wrapping_add(1) });
        let mut diary = Self { page, resets: past.map_or(0, |p| p.resets) };
        diary.note(Doing::Start);
        (diary, past)
    }

    /// Records the next activity.
    pub fn note(&mut self, doing: Doing) {
        let entry = [MAGIC ^ self.resets ^ code(doing), self.resets, code(doing)];
        // SAFETY: nothing else accesses the page.
        unsafe { self.page.0.get().cast::<[u32; 3]>().write_volatile(entry) };
    }
}

/// Returns codes that are far apart, so that random content matches none of them.
fn code(doing: Doing) -> u32 {
    match doing {
        Doing::Start => 0x5354_4152,
        Doing::Picture => 0x5049_4354,
        Doing::Network => 0x4e45_5457,
        Doing::Result => 0x5245_5355,
    }
}

impl Past {
    /// Adds the record to the first line: `,"during":"picture","resets":1`.
    pub fn tell<W: Write>(self, line: &mut Report<'_, W>) {
        line.text(",\"during\":\"").text(name(self.doing)).text("\",\"resets\":").number(self.resets);
    }
}

fn name(doing: Doing) -> &'static str {
    match doing {
        Doing::Start => "start",
        Doing::Picture => "picture",
        Doing::Network => "network",
        Doing::Result => "result",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_what_went_on_and_how_often() {
        static PAGE: Page = Page(UnsafeCell::new(MaybeUninit::new([7; 3])));
        let (mut diary, past) = Diary::open(&PAGE);
        assert_eq!(past, None);
        diary.note(Doing::Network);
        let (_, past) = Diary::open(&PAGE);
        assert_eq!(past, Some(Past { doing: Doing::Network, resets: 1 }));
        let (mut diary, past) = Diary::open(&PAGE);
        assert_eq!(past, Some(Past { doing: Doing::Start, resets: 2 }));
        diary.note(Doing::Picture);
        // SAFETY: the page belongs to the test.
        unsafe { (*PAGE.0.get()).assume_init_mut()[1] ^= 1 };
        assert_eq!(Diary::open(&PAGE).1, None);
    }
}
