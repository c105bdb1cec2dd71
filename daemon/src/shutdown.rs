//! One token that tells every part of the daemon to stop or to reload.
//!
//! The parts hold a [`Shutdown`] and look at it or wait for it; the signals hold the [`Trigger`].
//! Threads without a runtime look at [`Shutdown::is_stopping`] between two pieces of work.

use std::io;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// What was asked of the daemon so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Asked {
    /// To stop.
    stop: bool,
    /// To reload, this many times.
    reloads: u64,
}

/// Asks the parts; whoever holds it decides. Dropping the last one asks nothing.
#[derive(Debug, Clone)]
pub struct Trigger {
    asked: watch::Sender<Asked>,
}

/// Hears what is asked. Clones hear the same.
#[derive(Debug, Clone)]
pub struct Shutdown {
    asked: watch::Receiver<Asked>,
    /// The reloads that [`Shutdown::reloaded`] has told of.
    seen: u64,
}

/// A trigger and the token that hears it.
#[must_use]
pub fn token() -> (Trigger, Shutdown) {
    let (sender, receiver) = watch::channel(Asked::default());
    (
        Trigger { asked: sender },
        Shutdown {
            asked: receiver,
            seen: 0,
        },
    )
}

impl Trigger {
    /// Asks to stop; asking twice is asking once.
    pub fn stop(&self) {
        self.asked.send_modify(|asked| asked.stop = true);
    }

    /// Asks to reload what can be reloaded.
    pub fn reload(&self) {
        self.asked.send_modify(|asked| asked.reloads += 1);
    }

    /// Stops on SIGTERM and SIGINT and reloads on SIGHUP, from now on, until a stop.
    ///
    /// Must be called inside a runtime, which runs the listening task.
    ///
    /// # Errors
    ///
    /// When the signals cannot be taken over.
    pub fn follow_signals(self) -> io::Result<tokio::task::JoinHandle<()>> {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut hangup = signal(SignalKind::hangup())?;
        Ok(tokio::spawn(async move {
            loop {
                tokio::select! {
                    _ = terminate.recv() => break self.stop(),
                    _ = interrupt.recv() => break self.stop(),
                    _ = hangup.recv() => self.reload(),
                }
            }
            // Stays, so that a second signal during the stop does not end the process half-way; the
            // stop has its own deadline.
            self.asked.closed().await;
        }))
    }
}

impl Shutdown {
    /// True once a stop was asked for.
    #[must_use]
    pub fn is_stopping(&self) -> bool {
        self.asked.borrow().stop
    }

    /// Waits until a stop is asked for. For ever, when nobody can ask any more.
    pub async fn stopping(&mut self) {
        if self.asked.wait_for(|asked| asked.stop).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Waits until a reload is asked for that this token has not told of; several are told as one.
    pub async fn reloaded(&mut self) {
        let seen = self.seen;
        let reloads = self
            .asked
            .wait_for(|asked| asked.reloads > seen)
            .await
            .map(|a| a.reloads);
        match reloads {
            Ok(reloads) => self.seen = reloads,
            Err(_) => std::future::pending().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn everybody_hears_a_stop() {
        let (trigger, mut shutdown) = token();
        let mut other = shutdown.clone();
        assert!(!shutdown.is_stopping());
        trigger.stop();
        trigger.stop();
        assert!(shutdown.is_stopping());
        shutdown.stopping().await;
        other.stopping().await;
    }

    #[tokio::test]
    async fn a_reload_is_told_once() {
        let (trigger, mut shutdown) = token();
        trigger.reload();
        trigger.reload();
        shutdown.reloaded().await;
        tokio::select! {
            biased;
            () = shutdown.reloaded() => panic!("told twice"),
            () = std::future::ready(()) => {}
        }
        trigger.reload();
        shutdown.reloaded().await;
        assert!(!shutdown.is_stopping());
    }

    #[tokio::test]
    async fn signals_ask() {
        let (trigger, mut shutdown) = token();
        let task = trigger.follow_signals().unwrap();
        let me = rustix::process::getpid();
        rustix::process::kill_process(me, rustix::process::Signal::HUP).unwrap();
        shutdown.reloaded().await;
        assert!(!shutdown.is_stopping());
        rustix::process::kill_process(me, rustix::process::Signal::TERM).unwrap();
        shutdown.stopping().await;
        drop(shutdown);
        task.await.unwrap();
    }
}
