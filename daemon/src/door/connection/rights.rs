//! Rights that change under a connection: it goes on with those that are now in force, and ends only
//! when nobody of its name is let in any more.

use super::Connection;
use super::end::Ending;

impl Connection {
    /// Takes the rights that are now in force.
    pub(super) async fn renew_rights(&mut self) -> Result<(), Ending> {
        let before = &self.guest.principal;
        let Some(now) = self.door.access.renew(before) else {
            tracing::info!(
                client = &*self.guest.client.id,
                user = before.user(),
                "disconnected a client whose user is gone"
            );
            return Err(Ending::Expelled);
        };
        if now.has_rights_of(before) {
            return Ok(());
        }
        self.guest.principal = now.clone();
        self.inbound.take_rights(now);
        self.drop_subscriptions().await
    }

    /// Ends the subscriptions that the client could not make any more.
    pub(super) async fn drop_subscriptions(&mut self) -> Result<(), Ending> {
        let mut filters = self.session.filters();
        filters.retain(|filter| !self.guest.principal.may_subscribe(filter));
        let gone = self.session.unsubscribe(&filters).await;
        gone.map(drop).map_err(|_| Ending::Closed(0x88))
    }
}
