package dnscache

// What an entry costs on the heap, as measured with Go 1.26 and otter 2.4.0 on
// amd64. TestBytesMatchesHeap holds it.
const (
	entryOverhead   = 256    // the node, its place in the table and in the count of uses, the entry
	stringOverhead  = 16 + 8 // a header, and about what rounding up to a size class adds
	addrSize        = 24
	failureOverhead = 320 // mostly the chain of errors
	slotOverhead    = 240
	slotFactor      = 2  // a parsed record, in lengths of its text
	slotOfNothing   = 48 // what is made of no record
)

// weigh estimates the heap that an entry keeps, in bytes.
func weigh(k key, e *entry) uint32 {
	n, text := entryOverhead+len(k.Name), 0
	for _, s := range e.Records {
		text += len(s)
	}
	n += text + cap(e.Records)*stringOverhead + cap(e.Addrs)*addrSize
	if e.failed != nil {
		n += failureOverhead
	}
	switch {
	case !e.hasSlot():
	case text == 0:
		n += slotOfNothing
	default:
		n += slotOverhead + slotFactor*text
	}
	return uint32(n) // an answer comes from one message of at most 64 KiB
}
