//! What systemd wants to know of a service (`sd_notify(3)`): that it is ready, that it lives, that it
//! ends. Datagrams to the socket that `NOTIFY_SOCKET` names; without it nothing is sent.

use std::time::{Duration, Instant};

#[cfg(target_os = "linux")]
use std::os::{linux::net::SocketAddrExt, unix::net};

/// How long a service manager may leave its queue full before it misses what is said once.
#[cfg(target_os = "linux")]
const PATIENCE: Duration = Duration::from_secs(5);

/// See the module.
#[derive(Default)]
pub struct Service {
    #[cfg(target_os = "linux")]
    to: Option<(net::UnixDatagram, net::SocketAddr)>,
    /// How often the watchdog wants to hear, and when it last did.
    watchdog: Option<Duration>,
    told: Option<Instant>,
}

impl Service {
    /// As the environment says.
    pub fn of_environment() -> Self {
        let text = |name: &str| std::env::var(name).ok();
        let mine = text("WATCHDOG_PID").is_none_or(|pid| pid == std::process::id().to_string());
        let watchdog = text("WATCHDOG_USEC").filter(|_| mine).and_then(|t| t.parse().ok());
        Self {
            #[cfg(target_os = "linux")]
            to: std::env::var_os("NOTIFY_SOCKET").and_then(|name| socket(&name)),
            // Twice as often as needed.
            watchdog: watchdog.map(|us: u64| Duration::from_micros(us / 2)),
            told: None,
        }
    }

    /// Sends lines as `READY=1`. They are said once, so a manager whose queue is full is waited for, though
    /// not for ever.
    pub fn tell(&self, lines: &str) {
        self.send(lines, true);
    }

    fn send(&self, lines: &str, wait: bool) {
        #[cfg(target_os = "linux")]
        if let Some((socket, address)) = &self.to
            && let Err(e) = socket
                .set_nonblocking(!wait)
                .and_then(|()| socket.send_to_addr(lines.as_bytes(), address).map(|_| ()))
        {
            tracing::debug!("the service manager does not hear: {e}");
        }
        #[cfg(not(target_os = "linux"))]
        let _ = (lines, wait);
    }

    /// To be called often: tells the watchdog that we live, when it is time.
    pub fn alive(&mut self) {
        let Some(every) = self.watchdog else { return };
        let now = Instant::now();
        if self.told.is_none_or(|told| now.saturating_duration_since(told) >= every) {
            self.told = Some(now);
            // With a full queue it has heard enough of us.
            self.send("WATCHDOG=1", false);
        }
    }
}

/// The name is a path, or `@` and a name without a file.
#[cfg(target_os = "linux")]
fn socket(name: &std::ffi::OsStr) -> Option<(net::UnixDatagram, net::SocketAddr)> {
    use std::os::unix::ffi::OsStrExt;
    let address = match name.as_bytes() {
        [b'@', rest @ ..] => net::SocketAddr::from_abstract_name(rest),
        _ => net::SocketAddr::from_pathname(name),
    };
    let made = address.and_then(|address| {
        let socket = net::UnixDatagram::unbound()?;
        // A service manager that does not read must not stop us.
        socket.set_write_timeout(Some(PATIENCE))?;
        Ok((socket, address))
    });
    made.map_err(|e| tracing::warn!("NOTIFY_SOCKET cannot be used: {e}")).ok()
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    /// Whether one more line went into the manager's queue.
    fn manager_is_not_full(service: &Service) -> bool {
        let (socket, address) = service.to.as_ref().unwrap();
        socket.set_nonblocking(true).unwrap();
        socket.send_to_addr(b"WATCHDOG=1", address).is_ok()
    }

    #[test]
    fn lines_arrive_and_the_watchdog_is_fed_when_due() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let manager = net::UnixDatagram::bind(&path).unwrap();
        manager.set_nonblocking(true).unwrap();
        let mut service =
            Service { to: socket(path.as_os_str()), watchdog: Some(Duration::from_secs(3600)), told: None };
        service.tell("READY=1\nSTATUS=looking");
        service.alive();
        service.alive();
        let mut buffer = [0; 100];
        let mut next =
            || manager.recv(&mut buffer).map(|n| String::from_utf8_lossy(&buffer[..n]).into_owned()).ok();
        assert_eq!(next().as_deref(), Some("READY=1\nSTATUS=looking"));
        assert_eq!(next().as_deref(), Some("WATCHDOG=1"));
        assert_eq!(next(), None);
        // A queue that is full takes no sign of life, and what is said once when there is room again.
        service.watchdog = Some(Duration::ZERO);
        // The reader below may be long in coming.
        service.to.as_ref().unwrap().0.set_write_timeout(None).unwrap();
        while manager_is_not_full(&service) {}
        let reader = std::thread::spawn(move || {
            let mut last = Vec::new();
            manager.set_nonblocking(false).unwrap();
            while last != b"STOPPING=1" {
                let mut buffer = [0; 100];
                let n = manager.recv(&mut buffer).unwrap();
                last = buffer[..n].to_vec();
            }
        });
        service.alive();
        service.tell("STOPPING=1");
        reader.join().unwrap();
        // Nobody there, and no environment: nothing happens.
        service.tell("STOPPING=1");
        Service::default().tell("READY=1");
        assert!(socket(std::ffi::OsStr::new("@foldnet-test")).is_some());
    }
}
