package milter

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"regexp"
	"strings"
	"sync"
	"testing"

	"dmarcgate/internal/miltertest"
)

// answering is a handler that gives each message the same answer.
type answering struct {
	mu     sync.Mutex
	answer Answer
}

func (h *answering) set(a Answer) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.answer = a
}

func (h *answering) Overflow(*Envelope, [][]byte) Overflow { return &overflown{} }

func (h *answering) Start(context.Context, *Envelope, [][]byte) Message { return h }

func (h *answering) Write(p []byte) (int, error) { return len(p), nil }

func (h *answering) Finish() Answer {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.answer
}

// Offers of MTAs: Postfix, an MTA without edits and one that eats the space
// behind a colon.
var offers = []miltertest.Offer{
	miltertest.PostfixOffer(),
	{Version: 6, Actions: 0, Protocol: 0x1fffff},
	{Version: 6, Actions: 0x1ff, Protocol: 0x1fffff &^ miltertest.LeadingSpace},
	{Version: 2, Actions: 0x3f, Protocol: 0},
}

// The forms of RFC 3463 and RFC 5322, Section 2.2, and the lines of a reply.
var (
	replyLine = regexp.MustCompile(`^([45])[0-9]{2}([- ])([45])\.[0-9]{1,3}\.[0-9]{1,3} ([ -~]+)$`)
	fieldText = regexp.MustCompile(`^[!-9;-~]+$`)
)

// frameFault says what an MTA could not read in a frame that ends a message or
// stands before its end. It is stricter than Postfix and Sendmail are together.
func frameFault(agreed miltertest.Agreed, code byte, data []byte) error {
	if len(data) > 65535 { // MILTER_CHUNK_SIZE: libmilter's longest
		return fmt.Errorf("%d bytes", len(data))
	}
	need := map[byte]uint32{ansInsertHeader: miltertest.AddHeader, ansChangeHeader: miltertest.ChangeHeader, ansQuarantine: miltertest.Quarantine}[code]
	if agreed.Actions&need != need {
		return fmt.Errorf("actions %#x were agreed", agreed.Actions)
	}
	switch code {
	case ansContinue, ansProgress:
		if len(data) > 0 {
			return fmt.Errorf("%d bytes of data", len(data))
		}
		return nil
	case ansReplyCode:
		return replyFault(data)
	case ansQuarantine:
		reason, err := strs(data, 1)
		if err == nil && (len(reason[0]) > maxHoldReason || !printableText(reason[0])) {
			err = fmt.Errorf("the reason %q", reason[0])
		}
		return err
	case ansInsertHeader, ansChangeHeader:
		return fieldFault(agreed, code, data)
	}
	return fmt.Errorf("a code of no answer")
}

func replyFault(data []byte) error {
	text, err := strs(data, 1)
	if err != nil {
		return err
	}
	lines := strings.Split(text[0], "\r\n")
	if len(lines) > 32 { // libmilter's most
		return fmt.Errorf("%d lines", len(lines))
	}
	for n, line := range lines {
		m := replyLine.FindStringSubmatch(line)
		switch {
		case m == nil || m[1] != m[3] || len(line) > 2*maxReplyText:
			return fmt.Errorf("the line %q", line)
		case line[:3] != lines[0][:3] || (m[2] == " ") != (n == len(lines)-1):
			return fmt.Errorf("the line %q of %d", line, len(lines))
		case strings.Contains(strings.ReplaceAll(m[4], "%%", ""), "%"):
			return fmt.Errorf("a single %% in %q", line)
		case len(strings.ReplaceAll(line, "%%", "%"))+2 > 512: // RFC 5321, Section 4.5.3.1.5
			return fmt.Errorf("a line of %d bytes", len(line)+2)
		}
	}
	return nil
}

func fieldFault(agreed miltertest.Agreed, code byte, data []byte) error {
	if len(data) < 4 {
		return fmt.Errorf("no index in %q", data)
	}
	index := binary.BigEndian.Uint32(data)
	parts, err := strs(data[4:], 2)
	switch {
	case err != nil:
		return err
	case !fieldText.MatchString(parts[0]):
		return fmt.Errorf("the name %q", parts[0])
	case code == ansChangeHeader && (index < 1 || parts[1] != ""):
		return fmt.Errorf("field %d to %q", index, parts[1])
	case code == ansChangeHeader:
		return nil
	case index != 0 || parts[1] == "" && agreed.Protocol&miltertest.LeadingSpace != 0:
		return fmt.Errorf("field %d with %q", index, parts[1])
	}
	for n, line := range strings.Split(parts[1], "\n") {
		begins := line != "" && isSpace(line[0])
		if strings.ContainsFunc(line, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }) ||
			!begins && (n > 0 || agreed.Protocol&miltertest.LeadingSpace != 0) || n > 0 && strings.Trim(line, " \t") == "" {
			return fmt.Errorf("the line %q of %q", line, parts[1])
		}
	}
	return nil
}

// strs are exactly n strings, each ended by a NUL, in data.
func strs(data []byte, n int) ([]string, error) {
	parts := strings.Split(string(data), "\x00")
	if len(parts) != n+1 || parts[n] != "" {
		return nil, fmt.Errorf("%d strings in %q; want %d", len(parts)-1, data, n)
	}
	return parts[:n], nil
}

func printableText(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r > '~' })
}

// exchange sends a message and checks every frame of the answer. One frame ends
// it, and it is the last one.
func exchange(c *miltertest.Client) error {
	for _, event := range []func() (miltertest.Reply, error){
		func() (miltertest.Reply, error) { return c.Mail("a@b.example") },
		func() (miltertest.Reply, error) { return c.Field("From", " a@b.example") },
		c.EndOfHeader,
	} {
		if r, err := event(); err != nil || r.Action != miltertest.Continue {
			return fmt.Errorf("before the end of the message: %+v, %w", r, err)
		}
	}
	if err := c.WriteFrame('E', nil); err != nil {
		return err
	}
	for {
		code, data, err := c.ReadFrame()
		if err != nil {
			return err
		}
		if err := frameFault(c.Agreed(), code, data); err != nil {
			return fmt.Errorf("frame %q: %w", code, err)
		}
		if code == ansContinue || code == ansReplyCode {
			return c.Abort()
		}
	}
}

// frameRig is one server with a connection of each kind of MTA.
type frameRig struct {
	handler *answering
	clients []*miltertest.Client
}

func newFrameRig(t testing.TB) *frameRig {
	t.Helper()
	rig := &frameRig{handler: &answering{}}
	g := start(t, rig.handler, Limits{})
	for _, o := range offers {
		rig.clients = append(rig.clients, g.dial(t, miltertest.Options{Offer: o}))
	}
	return rig
}

// send answers one message with these texts, however strange.
func (rig *frameRig) send(kind uint8, code int, enhanced, text, name, value, reason string, nth uint16) error {
	a := Answer{Edits: []Edit{InsertField(name, value), Hold(reason), DeleteField(name, int(nth)+1)}}
	if kind&4 != 0 {
		a.Reply = Refuse(code, enhanced, text)
	}
	rig.handler.set(a)
	return exchange(rig.clients[int(kind)%len(offers)])
}

// FuzzEveryFrameIsWellFormed looks at the frames themselves. A million inputs have
// shown no fault: go test -fuzz FuzzEveryFrameIsWellFormed -fuzztime 1000000x
// ./milter.
func FuzzEveryFrameIsWellFormed(f *testing.F) {
	f.Add(uint8(4), 550, "5.7.1", "a%\r\nb", "Authentication-Results", " mx; dmarc=fail\r\n\t(p=none)", "DMARC: x", uint16(0))
	f.Add(uint8(7), 0, "..", "\x00\r\n.\r\n", "X:\r\n", "\n\n\ta", "\x00\xff", uint16(9))
	f.Add(uint8(2), 451, "4.999.9999", "%s%n", "", strings.Repeat("a\n", 70000), strings.Repeat("é", 99), uint16(65535))
	f.Fuzz(func(t *testing.T, kind uint8, code int, enhanced, text, name, value, reason string, nth uint16) {
		agreed := miltertest.Agreed{Offer: offers[int(kind)%3]}
		agreed.Actions = uint32(wantedActions)
		for _, e := range []Edit{InsertField(name, value), Hold(reason), DeleteField(name, int(nth)+1)} {
			frame, data := e.wire(agreed.Protocol&miltertest.LeadingSpace != 0)
			if err := frameFault(agreed, frame, data); frame != 0 && err != nil {
				t.Errorf("field %q: %q, hold %q: frame %q: %v", name, value, reason, frame, err)
			}
		}
		if err := frameFault(agreed, ansReplyCode, Refuse(code, enhanced, text).wire()); err != nil {
			t.Errorf("reply %d %q %q: %v", code, enhanced, text, err)
		}
	})
}

func TestEveryFrameIsWellFormedWhateverTheTexts(t *testing.T) {
	rig := newFrameRig(t)
	r := rand.New(rand.NewPCG(19, 3))
	pieces := []string{"\x00", "\r", "\n", "\r\n", " ", "\t", ":", "%", "%%", ".", "-", "5.7.1", "4.7.1", "550", "\x7f", "\xff", "é", "a", "DMARC", strings.Repeat("x", 500), "\u2028"}
	text := func() string {
		var b strings.Builder
		for range r.IntN(12) {
			b.WriteString(pieces[r.IntN(len(pieces))])
		}
		return b.String()
	}
	for range 2000 {
		kind, code, nth := uint8(r.IntN(8)), r.IntN(1200)-200, uint16(r.IntN(1<<16))
		a, b, c, d, e := text(), text(), text(), text(), text()
		if err := rig.send(kind, code, a, b, c, d, e, nth); err != nil {
			t.Fatalf("kind %d, reply %d %q %q, field %q: %q, hold %q: %v", kind, code, a, b, c, d, e, err)
		}
	}
}

func TestFrameFaultFindsWhatAnMTACannotRead(t *testing.T) {
	agreed := miltertest.Agreed{Offer: miltertest.PostfixOffer()}
	for _, tt := range []struct {
		name string
		code byte
		data string
	}{
		{"a code of no answer", 'z', ""},
		{"data behind continue", 'c', "x"},
		{"no NUL", 'y', "550 5.7.1 no"},
		{"a NUL within", 'y', "550 5.7.1 n\x00o\x00"},
		{"codes that differ", 'y', "550-5.7.1 a\r\n551 5.7.1 b\x00"},
		{"classes that differ", 'y', "550 4.7.1 a\x00"},
		{"a last line that goes on", 'y', "550-5.7.1 a\x00"},
		{"a line end at the end", 'y', "550 5.7.1 a\r\n\x00"},
		{"a single per cent sign", 'y', "550 5.7.1 100%\x00"},
		{"no index", 'i', "X\x00 a\x00"},
		{"a name with a colon", 'i', "\x00\x00\x00\x00X:\x00 a\x00"},
		{"a line that begins a field", 'i', "\x00\x00\x00\x00X\x00 a\nEvil: b\x00"},
		{"an empty line", 'i', "\x00\x00\x00\x00X\x00 a\n \n b\x00"},
		{"field 0", 'm', "\x00\x00\x00\x00X\x00\x00"},
		{"an empty reason", 'q', "\x00"},
		{"a long reason", 'q', strings.Repeat("x", 101) + "\x00"},
	} {
		if err := frameFault(agreed, tt.code, []byte(tt.data)); err == nil {
			t.Errorf("%s: no fault in %q", tt.name, tt.data)
		}
	}
	if err := frameFault(miltertest.Agreed{}, ansQuarantine, []byte("x\x00")); err == nil {
		t.Error("no fault in an edit that was not agreed")
	}
}
