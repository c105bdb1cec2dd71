"""One session of Eclipse Paho with the door: argument 1 is the port, 2 the version (4 or 5).

With a third, the file of an authority, over TLS and as the user ann.
"""
import queue
import sys

import paho.mqtt.client as mqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

port, version = int(sys.argv[1]), int(sys.argv[2])
authority = sys.argv[3] if len(sys.argv) > 3 else None
five = version == 5
PATIENCE = 60


class Client:
    def __init__(self, name, kept=False, will=None):
        self.heard, self.events = queue.Queue(), queue.Queue()
        settings = {} if five else {"clean_session": not kept}
        self.client = mqtt.Client(
            mqtt.CallbackAPIVersion.VERSION2,
            client_id=name,
            protocol=mqtt.MQTTv5 if five else mqtt.MQTTv311,
            **settings,
        )
        self.client.on_connect = lambda c, u, flags, code, p: self.events.put(("in", flags, code, p))
        self.client.on_disconnect = lambda c, u, flags, code, p: self.events.put(("out", flags, code, p))
        self.client.on_subscribe = lambda c, u, mid, codes, p: self.events.put(("sub", codes))
        self.client.on_publish = lambda c, u, mid, code, p: self.events.put(("pub", code))
        self.client.on_message = lambda c, u, message: self.heard.put(message)
        if authority:
            self.client.tls_set(ca_certs=authority)
            self.client.username_pw_set("ann", "ann-pw")
        if will:
            self.client.will_set(will, "gone", qos=1)
        properties, start = None, {}
        if five:
            properties = Properties(PacketTypes.CONNECT)
            properties.SessionExpiryInterval = 60 if kept else 0
            properties.TopicAliasMaximum = 5
            start = {"clean_start": not kept}
        self.client.connect("127.0.0.1", port, keepalive=30, properties=properties, **start)
        self.client.loop_start()
        _, self.flags, code, self.properties = self.next("in")
        assert code == 0, code

    def next(self, kind):
        while True:
            event = self.events.get(timeout=PATIENCE)
            if event[0] == kind:
                return event

    def subscribe(self, filter, qos, **options):
        if five:
            self.client.subscribe(filter, options=SubscribeOptions(qos=qos, **options))
        else:
            self.client.subscribe(filter, qos)
        codes = self.next("sub")[1]
        assert codes[0].value == qos, codes

    def publish(self, topic, payload, qos=1, retain=False, properties=None):
        self.client.publish(topic, payload, qos, retain, properties).wait_for_publish(PATIENCE)
        return self.next("pub")[1]

    def message(self):
        return self.heard.get(timeout=PATIENCE)

    def leave(self):
        self.client.disconnect()
        self.next("out")
        self.client.loop_stop()


reader = Client("reader")
reader.subscribe("t/+", 2)
writer = Client("writer")
for qos in (0, 1, 2):
    writer.publish("t/x", f"qos {qos}", qos)
    message = reader.message()
    assert (message.payload, message.qos) == (f"qos {qos}".encode(), qos), vars(message)
# Many, so that windows and aliases turn over.
for number in range(500):
    writer.client.publish(f"t/{number % 7}", str(number), 1)
for number in range(500):
    message = reader.message()
    assert message.payload == str(number).encode() and message.topic == f"t/{number % 7}"
    writer.next("pub")

# Retained, kept, will.
# Who hears a message live knows that it is in the table of the retained.
reader.subscribe("kept/+", 1)
writer.publish("kept/1", "retained", 1, True)
reader.message()
kept = Client("kept", kept=True)
kept.subscribe("kept/#", 1)
assert kept.message().retain
kept.leave()
writer.publish("kept/2", "while away")
reader.message()
kept = Client("kept", kept=True)
assert kept.flags.session_present
assert kept.message().payload == b"while away"
kept.leave()
reader.subscribe("wills/#", 1)
rude = Client("rude", will="wills/rude")
rude.client.socket().shutdown(2)
assert reader.message().payload == b"gone"

# A group of two: each message once.
members = [Client(f"member{number}") for number in range(2)]
for member in members:
    member.subscribe("$share/team/work", 1)
for number in range(100):
    writer.publish("work", str(number))
got = set()
for member in members:
    for _ in range(50):
        got.add(member.message().payload)
assert len(got) == 100

if five:
    properties = Properties(PacketTypes.PUBLISH)
    properties.UserProperty = ("k", "v")
    properties.ResponseTopic = "t/response"
    properties.CorrelationData = b"id"
    properties.MessageExpiryInterval = 60
    properties.PayloadFormatIndicator = 1
    properties.ContentType = "text/plain"
    writer.publish("t/request", "x", properties=properties)
    message = reader.message()
    assert message.properties.UserProperty == [("k", "v")]
    assert message.properties.CorrelationData == b"id"
    assert message.properties.MessageExpiryInterval <= 60
    code = writer.publish("indexes/A/level", "1")
    assert code.value == 0x87, code
    nobody = Client("")
    assert nobody.properties.AssignedClientIdentifier.startswith("auto-")
    second = Client("writer")
    _, _, code, _ = writer.next("out")
    assert code.value == 0x8E, code
print("ok")
