//! The filters this client asked for: made again after every reconnect, answered once.

use std::collections::{HashMap, VecDeque};

use rumqttc::{QoS, Subscribe, SubscribeFilter, SubscribeReasonCode};
use tokio::sync::oneshot;

/// Bookkeeping of SUBSCRIBE packets, like the outbox for messages.
#[derive(Debug, Default)]
pub(crate) struct Subscriptions {
    groups: Vec<Group>,
    handed: VecDeque<usize>,
    written: HashMap<u16, usize>,
    offline: bool,
}

#[derive(Debug)]
struct Group {
    filters: Vec<String>,
    waiter: Option<oneshot::Sender<Result<(), String>>>,
}

impl Subscriptions {
    /// Files the filters of one SUBSCRIBE. True when it shall be handed to the client now.
    pub(crate) fn add(
        &mut self,
        filters: Vec<String>,
        waiter: oneshot::Sender<Result<(), String>>,
    ) -> bool {
        if !self.offline {
            self.handed.push_back(self.groups.len());
        }
        self.groups.push(Group {
            filters,
            waiter: Some(waiter),
        });
        !self.offline
    }

    /// The client wrote a SUBSCRIBE with this packet id.
    pub(crate) fn wrote(&mut self, packet: u16) {
        if let Some(group) = self.handed.pop_front() {
            self.written.insert(packet, group);
        }
    }

    /// SUBACK: tells who waits, with the first filter that was refused.
    pub(crate) fn answered(&mut self, packet: u16, codes: &[SubscribeReasonCode]) {
        let Some(group) = self.written.remove(&packet) else {
            return;
        };
        let group = &mut self.groups[group];
        let refused = codes
            .iter()
            .position(|code| *code == SubscribeReasonCode::Failure)
            .and_then(|at| group.filters.get(at));
        if let Some(waiter) = group.waiter.take() {
            let _ = waiter.send(refused.map_or(Ok(()), |filter| Err(filter.clone())));
        }
    }

    /// The connection is gone.
    pub(crate) fn disconnected(&mut self) {
        self.offline = true;
        self.handed.clear();
        self.written.clear();
    }

    /// The connection is back: all SUBSCRIBE packets, to be handed over in this order.
    pub(crate) fn reconnected(&mut self) -> Vec<Subscribe> {
        self.offline = false;
        self.handed = (0..self.groups.len()).collect();
        self.groups
            .iter()
            .map(|group| packet(&group.filters))
            .collect()
    }

    /// Nobody will answer any more.
    pub(crate) fn give_up(&mut self) {
        self.groups.clear();
    }
}

/// One SUBSCRIBE. `QoS` 1: what the daemon sends is not lost while the connection lives.
pub(crate) fn packet(filters: &[String]) -> Subscribe {
    Subscribe::new_many(
        filters
            .iter()
            .map(|filter| SubscribeFilter::new(filter.clone(), QoS::AtLeastOnce)),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_once_and_survives_a_reconnect() {
        let mut list = Subscriptions::default();
        let (tell, mut told) = oneshot::channel();
        assert!(list.add(vec!["a".to_owned(), "b".to_owned()], tell));
        list.wrote(4);
        list.disconnected();
        list.answered(4, &[SubscribeReasonCode::Failure]);
        assert!(told.try_recv().is_err(), "an old id means nothing now");
        assert_eq!(list.reconnected()[0].filters.len(), 2);
        list.wrote(1);
        let granted = SubscribeReasonCode::Success(QoS::AtLeastOnce);
        list.answered(1, &[granted, SubscribeReasonCode::Failure]);
        assert_eq!(told.try_recv().unwrap(), Err("b".to_owned()));
    }
}
