//! What systemd wants to know of a service (`sd_notify(3)`): that it is ready, that it lives, that it
//! ends. Datagrams to the socket that `NOTIFY_SOCKET` names; without it nothing is sent.

use std::time::{Duration, Instant};

#[cfg(target_os = "linux")]
use std::os::{linux::net::SocketAddrExt, unix::net};

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

    /// Sends lines as `READY=1`.
    pub fn tell(&self, lines: &str) {
        #[cfg(target_os = "linux")]
        if let Some((socket, address)) = &self.to
            && let Err(e) = socket.send_to_addr(lines.as_bytes(), address)
        {
            tracing::debug!("the service manager does not hear: {e}");
        }
        #[cfg(not(target_os = "linux"))]
        let _ = lines;
    }

    /// To be called often: tells the watchdog that we live, when it is time.
    pub fn alive(&mut self) {
        let Some(every) = self.watchdog else { return };
        let now = Instant::now();
        if self.told.is_none_or(|told| now.saturating_duration_since(told) >= every) {
            self.told = Some(now);
            self.tell("WATCHDOG=1");
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
        socket.set_nonblocking(true)?;
        Ok((socket, address))
    });
    made.map_err(|e| tracing::warn!("NOTIFY_SOCKET cannot be used: {e}")).ok()
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

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
        // Nobody there, and no environment: nothing happens.
        drop(manager);
        service.tell("STOPPING=1");
        Service::default().tell("READY=1");
        assert!(socket(std::ffi::OsStr::new("@foldnet-test")).is_some());
    }
}
