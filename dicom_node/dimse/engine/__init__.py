"""The acceptor's side of DICOM associations: our own upper layer (PS3.8) and message layer (PS3.7).

How a byte travels, and which module it meets:

* `gate` - one thread, one selector. It accepts connections and collects each one's A-ASSOCIATE-RQ. A connection that
  is silent, slow or talks nonsense costs a few kB here until its deadline, never a thread. When a request is whole,
  the socket leaves the gate with its conversation.
* `conversation` - the protocol without any I/O: bytes in, events and bytes out. It owns the receive buffer; whoever
  has the socket fills the buffer and asks for the next event. The data set of a message comes out as views of that
  buffer while it is still arriving, so an instance of any size passes through in constant memory and is copied once,
  by the kernel into the file. All limits are here: what may come in which order, how long it may be (checked before
  anything of that size is allocated) and until when it must have come.
* `negotiation` and `commands` - the encodings: A-ASSOCIATE PDUs, and command sets (group 0000).
* `channel` - a socket and its conversation on the thread of one association: waits for events before the
  conversation's deadline, collects what is to be sent and writes several messages with one send.

What the messages mean is not known here: `dicom_node.dimse.association` serves them, and every service on the port
(also those that send requests of their own on the association, as C-GET does) works with a channel's four verbs:
`next_event`, `event_at_hand`, `send` and `flush`.

The rule: nothing a peer sends raises anything but `Violation` here, and `Violation` ends that association only.
"""
