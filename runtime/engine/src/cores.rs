//! Which cores are fast, how to stay on them, and how to leave them to others.
//!
//! On big.LITTLE processors Linux publishes each core's relative speed in
//! `/sys/devices/system/cpu/cpu*/cpu_capacity`. Where all are equal, or nothing is published, the
//! scheduler knows best and nothing is bound.

/// The `n` fastest cores, fastest first; `None` when all cores are equal, or there are fewer than `n`.
pub fn fastest(n: usize) -> Option<Vec<usize>> {
    let mut cores = capacities();
    let (least, most) = (cores.iter().map(|c| c.1).min()?, cores.iter().map(|c| c.1).max()?);
    if least == most || cores.len() < n {
        return None;
    }
    cores.sort_by_key(|&(core, capacity)| (std::cmp::Reverse(capacity), core));
    Some(cores.into_iter().take(n).map(|c| c.0).collect())
}

/// Core number and capacity of every core that publishes one.
fn capacities() -> Vec<(usize, u32)> {
    let mut cores = Vec::new();
    for core in 0.. {
        let folder = format!("/sys/devices/system/cpu/cpu{core}");
        if !std::path::Path::new(&folder).exists() {
            break;
        }
        let capacity = std::fs::read_to_string(format!("{folder}/cpu_capacity"));
        if let Some(capacity) = capacity.ok().and_then(|c| c.trim().parse().ok()) {
            cores.push((core, capacity));
        }
    }
    cores
}

/// Binds the calling thread to one core.
#[cfg(target_os = "linux")]
pub fn bind_current_thread(core: usize) -> std::io::Result<()> {
    if core >= libc::CPU_SETSIZE as usize {
        return Err(std::io::Error::from(std::io::ErrorKind::InvalidInput));
    }
    // SAFETY: `cpu_set_t` is plain data for which zero is the empty set, `core` was checked, and the
    // kernel only reads the set.
    let result = unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(core, &mut set);
        libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &set)
    };
    if result == 0 { Ok(()) } else { Err(std::io::Error::last_os_error()) }
}

/// Binds the calling thread to one core.
#[cfg(not(target_os = "linux"))]
pub fn bind_current_thread(_core: usize) -> std::io::Result<()> {
    Err(std::io::Error::from(std::io::ErrorKind::Unsupported))
}

/// Lets the program's other threads go before the calling one, where there is not a core for each. Where
/// the system refuses, nothing changes.
#[cfg(target_os = "linux")]
pub fn step_back() {
    /// What makes the scheduler give a third of the time that a thread of 0 gets.
    const NICE: libc::c_int = 5;
    // SAFETY: no memory is involved. On Linux 0 means this thread, not the process.
    let _refused = unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, NICE) } != 0;
    #[cfg(feature = "tracing")]
    if _refused {
        tracing::debug!("a thread's priority stays: {}", std::io::Error::last_os_error());
    }
}

/// Lets the program's other threads go before the calling one. Not known to this system.
#[cfg(not(target_os = "linux"))]
pub fn step_back() {}

/// The cores that this thread may run on, and a way to keep its helpers off one of them.
#[cfg(target_os = "linux")]
pub struct Allowed(libc::cpu_set_t);

#[cfg(target_os = "linux")]
impl Allowed {
    /// Those of the calling thread; `None` where the system does not tell, or where there is one only.
    pub fn of_current_thread() -> Option<Self> {
        // SAFETY: `cpu_set_t` is plain data for which zero is the empty set; the kernel writes as much as it
        // is told.
        unsafe {
            let mut set: libc::cpu_set_t = std::mem::zeroed();
            let told = libc::sched_getaffinity(0, size_of::<libc::cpu_set_t>(), &mut set) == 0;
            (told && libc::CPU_COUNT(&set) > 1).then_some(Self(set))
        }
    }

    /// Lets a thread run on these cores but for `core`. Where the system refuses, nothing changes.
    pub fn keep_off(&self, thread: i32, core: usize) {
        let mut set = self.0;
        // SAFETY: `sched_getcpu` and the set are the same kernel's, so `core` is in its range; the kernel only
        // reads the set.
        unsafe {
            libc::CPU_CLR(core, &mut set);
            libc::sched_setaffinity(thread, size_of::<libc::cpu_set_t>(), &set);
        }
    }
}

/// The calling thread's number.
#[cfg(target_os = "linux")]
pub fn current_thread() -> i32 {
    // SAFETY: takes no argument.
    unsafe { libc::gettid() }
}

/// The core that the calling thread is on.
#[cfg(target_os = "linux")]
pub fn current() -> Option<usize> {
    // SAFETY: takes no argument. Miri has no cores.
    let core = if cfg!(miri) { -1 } else { unsafe { libc::sched_getcpu() } };
    usize::try_from(core).ok().filter(|c| *c < libc::CPU_SETSIZE as usize)
}

/// Not known to this system.
#[cfg(not(target_os = "linux"))]
pub struct Allowed(std::convert::Infallible);

#[cfg(not(target_os = "linux"))]
impl Allowed {
    /// Not known.
    pub fn of_current_thread() -> Option<Self> {
        None
    }

    /// Never called.
    pub fn keep_off(&self, _thread: i32, _core: usize) {}
}

/// Not known to this system.
#[cfg(not(target_os = "linux"))]
pub fn current_thread() -> i32 {
    0
}

/// Not known to this system.
#[cfg(not(target_os = "linux"))]
pub fn current() -> Option<usize> {
    None
}
