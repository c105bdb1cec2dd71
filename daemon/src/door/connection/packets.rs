//! What a connection does with the packets of one read.

use std::sync::Arc;
use std::time::Instant;

use divisor_wire::topic::filter_is_valid;
use tokio::io::{AsyncRead, AsyncWrite};

use super::Connection;
use super::end::Ending;
use crate::door::Counters;
use crate::door::codec::encode::{self, PUBREL};
use crate::door::codec::packet::{self, Packet};
use crate::door::codec::subscribe::{Subscribe, Unsubscribe};
use crate::door::codec::{Version, frame};
use crate::ingress::Submission;

impl<S> Connection<S>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    /// Handles every complete packet of the buffer and hands what it brought on in one piece.
    pub(super) async fn take_packets(&mut self) -> Result<(), Ending> {
        let result = self.take_frames().await;
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
        for publication in self.inbound.aside.drain(..) {
            self.door.exchange.publish_aside(publication).await;
        }
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
                Packet::Disconnect(disconnect) => return Err(Ending::Goodbye(disconnect)),
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
        let version = self.dialect.version;
        let mut codes: Vec<u8> = Vec::with_capacity(subscribe.entries.len());
        let mut granted = Vec::new();
        for entry in &subscribe.entries {
            let code = self.filter_code(&entry.filter);
            if code == 0 {
                granted.push(entry);
                codes.push(entry.qos as u8);
            } else {
                Counters::add(&self.door.counters.refused_filters);
                codes.push(if version == Version::V5 { code } else { 0x80 });
            }
        }
        let taken = self
            .session
            .subscribe(&granted, subscribe.identifier)
            .await
            .map_err(|_| Ending::Closed(0x88))?;
        let granted_codes = codes.iter_mut().filter(|code| **code < 0x80);
        for (code, _) in granted_codes.zip(taken).filter(|(_, taken)| !taken) {
            Counters::add(&self.door.counters.refused_filters);
            *code = if version == Version::V5 { 0x97 } else { 0x80 };
        }
        encode::suback(&mut self.out, version, subscribe.packet_id, &codes);
        Ok(())
    }

    /// 0 for a filter that may be subscribed to, otherwise the MQTT 5 reason.
    fn filter_code(&self, filter: &str) -> u8 {
        if filter.starts_with("$share/") {
            0x9e
        } else if !filter_is_valid(filter) {
            0x8f
        } else if self.guest.principal.may_subscribe(filter) {
            0
        } else {
            0x87
        }
    }

    async fn unsubscribe(&mut self, unsubscribe: Unsubscribe) -> Result<(), Ending> {
        let mut codes = Vec::with_capacity(unsubscribe.filters.len());
        for filter in &unsubscribe.filters {
            let known = self
                .session
                .unsubscribe(filter)
                .await
                .map_err(|_| Ending::Closed(0x88))?;
            codes.push(if known { 0 } else { 0x11 });
        }
        encode::unsuback(
            &mut self.out,
            self.dialect.version,
            unsubscribe.packet_id,
            &codes,
        );
        Ok(())
    }
}
