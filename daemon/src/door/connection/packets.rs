//! What a connection does with the packets of one read.

use std::sync::Arc;
use std::time::Instant;

use divisor_wire::Reason;
use divisor_wire::topic::{filter_is_valid, shared_filter};

use super::Connection;
use super::end::Ending;
use crate::door::Counters;
use crate::door::codec::encode::{self, PUBREL};
use crate::door::codec::packet::{self, Packet};
use crate::door::codec::subscribe::{Subscribe, Unsubscribe};
use crate::door::codec::{Version, Violation, frame};
use crate::door::counters::RefusedFilter;
use crate::door::shares::Taken;
use crate::ingress::Submission;

impl Connection {
    /// Handles every complete packet of the buffer and hands what it brought on in one piece.
    pub(super) async fn take_packets(&mut self) -> Result<(), Ending> {
        let result = self.take_frames().await;
        if matches!(result, Err(Ending::Closed(code)) if code == Violation::TOO_LARGE.0) {
            // Its topic has not been read, and will not be.
            self.inbound.refuse("", Reason::PacketTooLarge);
        }
        // What came before a violation is as good as if it had come alone.
        self.inbound
            .settle(&mut self.session.received, &mut self.out);
        if !self.inbound.batch.is_empty() {
            self.submission = Some(Submission {
                client: Arc::clone(&self.guest.client),
                messages: std::mem::take(&mut self.inbound.batch),
                receipts: self.receipts_tx.clone(),
                read: self.heard,
            });
        }
        let aside = std::mem::take(&mut self.inbound.aside);
        self.door.exchange.publish_aside(aside).await;
        result
    }

    async fn take_frames(&mut self) -> Result<(), Ending> {
        while let Some(frame) = frame::split(&mut self.buffer, self.door.settings.packet_bytes_max)?
        {
            self.heard = Instant::now();
            match packet::decode(frame, self.dialect.version)? {
                Packet::Publish(publish) => {
                    self.inbound.publish(publish, &self.session.received)?;
                }
                Packet::PubAck(id) => self.session.outbound.on_puback(id),
                Packet::PubRec(id, refused) => {
                    if let Some(reason) = self.session.outbound.on_pubrec(id, refused) {
                        self.acknowledge(PUBREL, id, reason);
                    }
                }
                Packet::PubRel(id) => {
                    self.inbound
                        .release(id, &mut self.session.received, &mut self.out);
                }
                Packet::PubComp(id) => self.session.outbound.on_pubcomp(id),
                Packet::Subscribe(subscribe) => self.subscribe(subscribe).await?,
                Packet::Unsubscribe(unsubscribe) => self.unsubscribe(unsubscribe).await?,
                Packet::PingReq => encode::pingresp(&mut self.out),
                Packet::Disconnect(disconnect) => {
                    // Zero at CONNECT cannot become more: there was no session to keep.
                    let revives = disconnect.session_expiry.is_some_and(|e| !e.is_zero())
                        && self.session_expiry.is_zero();
                    return Err(if revives {
                        Violation::PROTOCOL.into()
                    } else {
                        Ending::Goodbye(disconnect)
                    });
                }
            }
        }
        Ok(())
    }

    fn acknowledge(&mut self, first: u8, packet_id: u16, reason: u8) {
        encode::acknowledge(
            &mut self.out,
            self.dialect.version,
            first,
            packet_id,
            reason,
        );
    }

    async fn subscribe(&mut self, subscribe: Subscribe) -> Result<(), Ending> {
        let mut codes: Vec<u8> = Vec::with_capacity(subscribe.entries.len());
        let mut granted = Vec::new();
        for entry in &subscribe.entries {
            // MQTT 5 §3.8.3.1: a group has no "own" messages.
            if entry.no_local && shared_filter(&entry.filter).is_some() {
                return Err(Violation::PROTOCOL.into());
            }
            match self.check_filter(&entry.filter) {
                Ok(()) => {
                    granted.push(entry);
                    codes.push(entry.qos as u8);
                }
                Err(why) => codes.push(self.refuse_filter(why)),
            }
        }
        let taken = self
            .session
            .subscribe(&granted, subscribe.identifier)
            .await
            .map_err(|_| Ending::Closed(0x88))?;
        let granted_codes = codes.iter_mut().filter(|code| **code < 0x80);
        for (code, taken) in granted_codes.zip(taken) {
            match taken {
                Taken::Granted => {}
                Taken::TooMany => *code = self.refuse_filter(RefusedFilter::Quota),
                Taken::TooManyGroups => *code = self.refuse_filter(RefusedFilter::SharedQuota),
            }
        }
        let version = self.dialect.version;
        encode::suback(&mut self.out, version, subscribe.packet_id, &codes);
        Ok(())
    }

    /// Whether a filter may be subscribed to.
    fn check_filter(&self, filter: &str) -> Result<(), RefusedFilter> {
        let settings = &self.door.settings;
        if !filter_is_valid(filter) || filter.len() > settings.topic_bytes_max {
            return Err(RefusedFilter::Malformed);
        }
        if self.guest.principal.may_subscribe(filter) {
            Ok(())
        } else {
            Err(RefusedFilter::NotAuthorized)
        }
    }

    /// Counts a refused filter and gives its code.
    fn refuse_filter(&self, why: RefusedFilter) -> u8 {
        Counters::add(&self.door.counters.refused_filters);
        self.door.counters.filters.add(why);
        match (self.dialect.version, why) {
            (Version::V4, _) => 0x80,
            (Version::V5, RefusedFilter::Malformed) => 0x8f,
            (Version::V5, RefusedFilter::NotAuthorized) => 0x87,
            (Version::V5, RefusedFilter::Quota | RefusedFilter::SharedQuota) => 0x97,
        }
    }

    async fn unsubscribe(&mut self, unsubscribe: Unsubscribe) -> Result<(), Ending> {
        let known = self
            .session
            .unsubscribe(&unsubscribe.filters)
            .await
            .map_err(|_| Ending::Closed(0x88))?;
        let code = |known: bool| if known { 0 } else { 0x11 };
        let codes: Vec<u8> = known.into_iter().map(code).collect();
        encode::unsuback(
            &mut self.out,
            self.dialect.version,
            unsubscribe.packet_id,
            &codes,
        );
        Ok(())
    }
}
