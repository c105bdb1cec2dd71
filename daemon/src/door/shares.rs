//! A session's memberships in the groups of shared subscriptions.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use tokio::sync::mpsc;

use super::codec::subscribe::Entry;
use super::envelope::{Message, Qos};
use super::exchange::RouterDead;
use super::outbound::{Delivery, Outbound};
use super::session::{Arrival, expires};
use super::shared::{Dealt, Group, Groups, JoinError, MAILBOX, Member, Presence};

/// What became of a subscription.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Taken {
    Granted,
    /// The client has as many as it may.
    TooMany,
    /// There are as many groups as there may be.
    TooManyGroups,
}

#[derive(Debug)]
struct Membership {
    /// The whole text of the subscription.
    name: Box<str>,
    group: Arc<Group>,
    qos: Qos,
    retain_as_published: bool,
    identifier: Option<u32>,
}

/// The memberships of one session.
#[derive(Debug)]
pub(super) struct Shares {
    groups: Arc<Groups>,
    /// The session's number.
    id: u64,
    memberships: Vec<Membership>,
    presence: Arc<Presence>,
    /// Where groups put messages; made with the first membership.
    mailbox: Option<(mpsc::Sender<Dealt>, mpsc::Receiver<Dealt>)>,
}

impl Shares {
    pub(super) fn new(groups: Arc<Groups>, id: u64) -> Self {
        Self {
            groups,
            id,
            memberships: Vec::new(),
            presence: Arc::default(),
            mailbox: None,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.memberships.len()
    }

    /// The whole texts of the subscriptions.
    pub(super) fn names(&self) -> impl Iterator<Item = &Box<str>> {
        self.memberships.iter().map(|membership| &membership.name)
    }

    pub(super) fn set_connected(&self, connected: bool) {
        self.presence.connected.store(connected, Ordering::Release);
    }

    pub(super) fn set_behind(&self, behind: bool) {
        self.presence.behind.store(behind, Ordering::Relaxed);
    }

    /// Joins the group of this subscription; a second time changes its options.
    pub(super) async fn join(
        &mut self,
        entry: &Entry,
        identifier: Option<u32>,
        has_room: bool,
    ) -> Result<Taken, RouterDead> {
        let known = self
            .memberships
            .iter()
            .position(|known| known.name == entry.filter);
        if known.is_none() && !has_room {
            return Ok(Taken::TooMany);
        }
        let (mailbox, _) = self.mailbox.get_or_insert_with(|| mpsc::channel(MAILBOX));
        let member = Member {
            id: self.id,
            qos: entry.qos,
            mailbox: mailbox.clone(),
            presence: Arc::clone(&self.presence),
        };
        let group = match self.groups.join(&entry.filter, member).await {
            Ok(group) => group,
            Err(JoinError::Full) => return Ok(Taken::TooManyGroups),
            Err(JoinError::Dead) => return Err(RouterDead),
        };
        let membership = Membership {
            name: entry.filter.clone(),
            group,
            qos: entry.qos,
            retain_as_published: entry.retain_as_published,
            identifier,
        };
        match known.and_then(|at| self.memberships.get_mut(at)) {
            Some(known) => *known = membership,
            None => self.memberships.push(membership),
        }
        Ok(Taken::Granted)
    }

    /// Gives a membership up, and what it brought and the client does not have; false when there
    /// was none.
    pub(super) fn leave(&mut self, name: &str, outbound: &mut Outbound) -> bool {
        let Some(at) = self.memberships.iter().position(|m| &*m.name == name) else {
            return false;
        };
        let membership = self.memberships.remove(at);
        let group = &membership.group;
        self.groups.leave(name, group, self.id);
        for message in outbound.take_shared(|other| Arc::ptr_eq(other, group)) {
            group.give_back(message);
        }
        true
    }

    /// Gives everything up.
    pub(super) fn leave_all(&mut self, outbound: &mut Outbound) {
        if let Some((_, receiver)) = &mut self.mailbox {
            receiver.close();
        }
        for membership in std::mem::take(&mut self.memberships) {
            let Membership { name, group, .. } = membership;
            self.groups.leave(&name, &group, self.id);
            for message in outbound.take_shared(|other| Arc::ptr_eq(other, &group)) {
                group.give_back(message);
            }
        }
        if let Some((_, mut receiver)) = self.mailbox.take() {
            while let Ok((group, message)) = receiver.try_recv() {
                group.give_back(message);
            }
        }
    }

    /// Gives what the client does not have to those groups that have somebody else for it.
    pub(super) fn give_back(&self, outbound: &mut Outbound) {
        for membership in &self.memberships {
            let group = &membership.group;
            if group.has_other_connected(self.id) {
                for message in outbound.take_shared(|other| Arc::ptr_eq(other, group)) {
                    group.give_back(message);
                }
            }
        }
    }

    /// The next message of a group. Cancel safe; for ever without a membership.
    pub(super) async fn next(&mut self) -> Arrival {
        if let Some((_, receiver)) = &mut self.mailbox
            && let Some(dealt) = receiver.recv().await
        {
            return arrival(dealt);
        }
        std::future::pending().await
    }

    /// What else is in the mailbox.
    pub(super) fn drain(&mut self) -> Vec<Arrival> {
        let mut arrivals = Vec::new();
        if let Some((_, receiver)) = &mut self.mailbox {
            while let Ok(dealt) = receiver.try_recv() {
                arrivals.push(arrival(dealt));
            }
        }
        arrivals
    }

    /// The message as the client gets it. One that came too late for the membership goes back.
    pub(super) fn delivery(
        &self,
        group: Arc<Group>,
        message: Message,
        connected: bool,
    ) -> Option<Delivery> {
        let known = self
            .memberships
            .iter()
            .find(|known| Arc::ptr_eq(&known.group, &group));
        let Some(known) = known else {
            group.give_back(message);
            return None;
        };
        let qos = known.qos.min(message.qos);
        if !connected && qos == Qos::AtMostOnce {
            return None;
        }
        Some(Delivery {
            expires: expires(&message, Instant::now()),
            topic: message.topic.clone(),
            payload: message.payload.clone(),
            properties: message.properties.clone(),
            qos,
            retain: known.retain_as_published && message.retain,
            identifiers: known.identifier.into_iter().collect(),
            shared: Some(Box::new((group, message))),
        })
    }
}

fn arrival((group, message): Dealt) -> Arrival {
    Arrival {
        message,
        group: Some(group),
    }
}
