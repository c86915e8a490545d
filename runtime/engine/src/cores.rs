//! Which cores are fast, how to bind threads to them, and how to leave them to others.
//!
//! On big.LITTLE processors Linux publishes each core's relative speed in
//! `/sys/devices/system/cpu/cpu*/cpu_capacity`. If all cores are equal, or nothing is published, the scheduler
//! knows best and no thread is bound.

/// Returns the `n` fastest cores, fastest first, or `None` if all cores are equal or there are fewer than `n`.
pub fn fastest(n: usize) -> Option<Vec<usize>> {
    let mut cores = capacities();
    let (least, most) = (cores.iter().map(|c| c.1).min()?, cores.iter().map(|c| c.1).max()?);
    if least == most || cores.len() < n {
        return None;
    }
    cores.sort_by_key(|&(core, capacity)| (std::cmp::Reverse(capacity), core));
    Some(cores.into_iter().take(n).map(|c| c.0).collect())
}

/// Returns core number and capacity of every core that publishes one.
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

/// Gives the program's other threads priority over the calling one when there are fewer cores than threads. If the
/// system refuses, nothing changes.
#[cfg(target_os = "linux")]
pub fn step_back() {
    /// With this value the scheduler gives a third of the time that a thread with value 0 gets.
    const NICE: libc::c_int = 5;
    // SAFETY: the call accesses no memory. On Linux 0 means this thread, not the process.
    let _refused = unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, NICE) } != 0;
    #[cfg(feature = "tracing")]
    if _refused {
        tracing::debug!("a thread's priority stays: {}", std::io::Error::last_os_error());
    }
}

/// Does nothing: this system has no such priority.
#[cfg(not(target_os = "linux"))]
pub fn step_back() {}

/// The cores on which this thread may run, and a way to keep its helpers off one of them.
#[cfg(target_os = "linux")]
pub struct Allowed(libc::cpu_set_t);

#[cfg(target_os = "linux")]
impl Allowed {
    /// Returns the cores of the calling thread, or `None` if the system does not report them or there is only one.
    pub fn of_current_thread() -> Option<Self> {
        // SAFETY: `cpu_set_t` is plain data for which zero is the empty set; the kernel writes at most the given
        // size.
        unsafe {
            let mut set: libc::cpu_set_t = std::mem::zeroed();
            let told = libc::sched_getaffinity(0, size_of::<libc::cpu_set_t>(), &mut set) == 0;
            (told && libc::CPU_COUNT(&set) > 1).then_some(Self(set))
        }
    }

    /// Lets a thread run on all of these cores except `core`. If the system refuses, nothing changes.
    pub fn keep_off(&self, thread: i32, core: usize) {
        let mut set = self.0;
        // SAFETY: `sched_getcpu` and the set come from the same kernel, so `core` is in range; the kernel only
        // reads the set.
        unsafe {
            libc::CPU_CLR(core, &mut set);
            libc::sched_setaffinity(thread, size_of::<libc::cpu_set_t>(), &set);
        }
    }
}

/// Returns the calling thread's number.
#[cfg(target_os = "linux")]
pub fn current_thread() -> i32 {
    // SAFETY: the call takes no argument.
    unsafe { libc::gettid() }
}

/// Returns the core on which the calling thread runs.
#[cfg(target_os = "linux")]
pub fn current() -> Option<usize> {
    // SAFETY: the call takes no argument. Miri has no cores.
    let core = if cfg!(miri) { -1 } else { unsafe { libc::sched_getcpu() } };
    usize::try_from(core).ok().filter(|c| *c < libc::CPU_SETSIZE as usize)
}

/// A placeholder: this system does not report cores.
#[cfg(not(target_os = "linux"))]
pub struct Allowed(std::convert::Infallible);

#[cfg(not(target_os = "linux"))]
impl Allowed {
    /// Returns `None`: the cores are not known.
    pub fn of_current_thread() -> Option<Self> {
        None
    }

    /// Never called.
    pub fn keep_off(&self, _thread: i32, _core: usize) {}
}

/// Returns 0: this system does not number its threads.
#[cfg(not(target_os = "linux"))]
pub fn current_thread() -> i32 {
    0
}

/// Returns `None`: this system does not report the core.
#[cfg(not(target_os = "linux"))]
pub fn current() -> Option<usize> {
    None
}
