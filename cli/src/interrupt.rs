//! Ctrl-C and SIGTERM as something a command can ask for and wait for.

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// Set once the user wants to stop; a second signal ends the process at once, so that a command
/// that tidies up for too long can still be left.
#[derive(Debug, Clone)]
pub(crate) struct Interrupt(watch::Receiver<bool>);

impl Interrupt {
    /// Listens for the rest of the process.
    pub(crate) fn listen() -> anyhow::Result<Self> {
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let (tell, asked) = watch::channel(false);
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                }
                if tell.send_replace(true) {
                    std::process::exit(crate::exit::Exit::Interrupted as i32);
                }
            }
        });
        Ok(Self(asked))
    }

    /// True once a signal came.
    pub(crate) fn is_set(&self) -> bool {
        *self.0.borrow()
    }

    /// Waits for the signal.
    pub(crate) async fn wait(&self) {
        let mut asked = self.0.clone();
        if asked.wait_for(|set| *set).await.is_err() {
            // The listener ends only with the process.
            std::future::pending::<()>().await;
        }
    }
}
