package miltertest

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"time"
)

// Protocol bits that the client knows (SMFIP_).
const (
	NoHeaderReply  = 1 << 7  // SMFIP_NR_HDR
	NoUnknown      = 1 << 8  // SMFIP_NOUNKNOWN
	NoData         = 1 << 9  // SMFIP_NODATA
	CanSkip        = 1 << 10 // SMFIP_SKIP
	NoConnectReply = 1 << 12 // SMFIP_NR_CONN
	NoHeloReply    = 1 << 13 // SMFIP_NR_HELO
	NoMailReply    = 1 << 14 // SMFIP_NR_MAIL
	NoRcptReply    = 1 << 15 // SMFIP_NR_RCPT
	NoDataReply    = 1 << 16 // SMFIP_NR_DATA
	NoUnknownReply = 1 << 17 // SMFIP_NR_UNKN
	NoEOHReply     = 1 << 18 // SMFIP_NR_EOH
	NoBodyReply    = 1 << 19 // SMFIP_NR_BODY
	LeadingSpace   = 1 << 20 // SMFIP_HDR_LEADSPC
)

// Actions that the client knows (SMFIF_).
const (
	AddHeader    = 1 << 0 // SMFIF_ADDHDRS
	ChangeHeader = 1 << 4 // SMFIF_CHGHDRS
	Quarantine   = 1 << 5 // SMFIF_QUARANTINE
	SetSymList   = 1 << 8 // SMFIF_SETSYMLIST
)

// Offer is what an MTA offers, or what was agreed on.
type Offer struct{ Version, Actions, Protocol uint32 }

// PostfixOffer is what Postfix 3.7 offers.
func PostfixOffer() Offer { return Offer{Version: 6, Actions: 0x1ff, Protocol: 0x1fffff} }

// Options choose how the client behaves. The zero value is a Postfix.
type Options struct {
	// Offer is PostfixOffer when it is zero.
	Offer Offer
	// Sendmail has Send do as Sendmail does: no ABORT between messages, the
	// queue id already at MAIL, macros before commands only, and "IPv6:"
	// before addresses of that kind.
	Sendmail bool
	// Timeout is how long an answer may take; 10 seconds when it is zero.
	Timeout time.Duration
}

// Agreed is what the filter chose.
type Agreed struct {
	Offer
	SymLists map[uint32]string // wanted macros by stage
}

// Client is a connection to a filter.
type Client struct {
	conn   net.Conn
	r      *bufio.Reader
	w      *bufio.Writer
	opts   Options
	agreed Agreed
	greet  string // CONNECT and HELO of the last Send
}

// Dial connects to a filter at "unix:/path" or "tcp:host:port" and negotiates.
func Dial(address string, opts Options) (*Client, error) {
	network, addr, ok := strings.Cut(address, ":")
	if !ok {
		return nil, fmt.Errorf("miltertest: %q is not network:address", address)
	}
	conn, err := net.Dial(network, addr)
	if err != nil {
		return nil, err
	}
	return New(conn, opts)
}

// New negotiates on a connection, which it closes if that fails.
func New(conn net.Conn, opts Options) (*Client, error) {
	if opts.Offer == (Offer{}) {
		opts.Offer = PostfixOffer()
	}
	if opts.Timeout == 0 {
		opts.Timeout = 10 * time.Second
	}
	c := Raw(conn, opts)
	if err := c.negotiate(); err != nil {
		return nil, errors.Join(fmt.Errorf("negotiating: %w", err), conn.Close())
	}
	return c, nil
}

// Raw returns a client that has not negotiated, for frames of your own.
func Raw(conn net.Conn, opts Options) *Client {
	return &Client{conn: conn, r: bufio.NewReader(conn), w: bufio.NewWriter(conn), opts: opts}
}

// Agreed returns the result of the negotiation.
func (c *Client) Agreed() Agreed { return c.agreed }

// Close closes the connection without QUIT.
func (c *Client) Close() error { return c.conn.Close() }

// WriteFrame writes a frame to the buffer, which the next ReadFrame or Flush
// sends.
func (c *Client) WriteFrame(cmd byte, data []byte) error {
	var head [5]byte
	binary.BigEndian.PutUint32(head[:], uint32(len(data)+1))
	head[4] = cmd
	if _, err := c.w.Write(head[:]); err != nil {
		return err
	}
	_, err := c.w.Write(data)
	return err
}

// Write writes raw bytes, well-formed or not, and sends them.
func (c *Client) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	return n, errors.Join(err, c.Flush())
}

// Flush sends what was written.
func (c *Client) Flush() error {
	c.arm()
	return c.w.Flush()
}

func (c *Client) arm() {
	if c.opts.Timeout > 0 {
		_ = c.conn.SetDeadline(time.Now().Add(c.opts.Timeout)) // the next read or write fails too
	}
}

// maxAnswer is more than any answer needs; a longer one is a broken filter.
const maxAnswer = 1 << 20

// ReadFrame sends what was written and reads one frame.
func (c *Client) ReadFrame() (code byte, data []byte, err error) {
	if err := c.Flush(); err != nil {
		return 0, nil, err
	}
	var head [5]byte
	if _, err := io.ReadFull(c.r, head[:]); err != nil {
		return 0, nil, err
	}
	n := binary.BigEndian.Uint32(head[:])
	if n < 1 || n > maxAnswer {
		return 0, nil, fmt.Errorf("an answer of %d bytes", n)
	}
	data = make([]byte, n-1)
	if _, err := io.ReadFull(c.r, data); err != nil {
		return 0, nil, fmt.Errorf("an answer cut short: %w", err)
	}
	return head[4], data, nil
}

func (c *Client) negotiate() error {
	var b []byte
	for _, v := range []uint32{c.opts.Offer.Version, c.opts.Offer.Actions, c.opts.Offer.Protocol} {
		b = binary.BigEndian.AppendUint32(b, v)
	}
	if err := c.WriteFrame('O', b); err != nil {
		return err
	}
	code, data, err := c.ReadFrame()
	if err != nil {
		return err
	}
	if code != 'O' || len(data) < 12 {
		return fmt.Errorf("answer %q of %d bytes to the offer", code, len(data))
	}
	c.agreed.Version = binary.BigEndian.Uint32(data)
	c.agreed.Actions = binary.BigEndian.Uint32(data[4:])
	c.agreed.Protocol = binary.BigEndian.Uint32(data[8:])
	if err := c.readSymLists(data[12:]); err != nil {
		return err
	}
	return c.checkAgreed()
}

func (c *Client) readSymLists(data []byte) error {
	c.agreed.SymLists = map[uint32]string{}
	for len(data) > 0 {
		i := bytes.IndexByte(data[min(4, len(data)):], 0)
		if i < 0 {
			return errors.New("a macro list without an end")
		}
		c.agreed.SymLists[binary.BigEndian.Uint32(data)] = string(data[4 : 4+i])
		data = data[4+i+1:]
	}
	return nil
}

// checkAgreed refuses what an MTA must refuse: more than was offered.
func (c *Client) checkAgreed() error {
	a, o := c.agreed, c.opts.Offer
	switch {
	case a.Version > o.Version || a.Version < 2:
		return fmt.Errorf("filter wants version %d of %d", a.Version, o.Version)
	case a.Actions&^o.Actions != 0:
		return fmt.Errorf("filter wants actions %#x of %#x", a.Actions, o.Actions)
	case a.Protocol&^o.Protocol != 0:
		return fmt.Errorf("filter wants protocol %#x of %#x", a.Protocol, o.Protocol)
	case len(a.SymLists) > 0 && a.Actions&SetSymList == 0:
		return errors.New("filter sets macro lists without having asked for it")
	}
	return nil
}

// silent lists the bits that say that an event has no answer.
var silent = map[byte]uint32{
	'C': NoConnectReply, 'H': NoHeloReply, 'M': NoMailReply, 'R': NoRcptReply, 'T': NoDataReply,
	'L': NoHeaderReply, 'N': NoEOHReply, 'B': NoBodyReply, 'U': NoUnknownReply,
}

// Event sends an event and, if it has an answer, returns it. One without an
// answer is "continue".
func (c *Client) Event(cmd byte, data []byte) (Reply, error) {
	if err := c.WriteFrame(cmd, data); err != nil {
		return Reply{}, err
	}
	if c.agreed.Protocol&silent[cmd] != 0 {
		return Reply{Action: Continue}, nil
	}
	for {
		code, data, err := c.ReadFrame()
		if err != nil {
			return Reply{}, fmt.Errorf("answer to %q: %w", cmd, err)
		}
		if code == progress {
			if err := checkProgress(data); err != nil {
				return Reply{}, err
			}
			continue
		}
		return parseReply(code, data)
	}
}

// Macros sends macros for an event: names and values in turn.
func (c *Client) Macros(cmd byte, kv ...string) error {
	return c.WriteFrame('D', append([]byte{cmd}, cStrings(kv...)...))
}

// Connect sends CONNECT. The family follows from the address; without one it
// is unknown.
func (c *Client) Connect(name string, addr netip.Addr, port uint16) (Reply, error) {
	data := cStrings(name)
	switch text := addr.String(); {
	case !addr.IsValid():
		data = append(data, 'U')
	case addr.Is4():
		data = append(binary.BigEndian.AppendUint16(append(data, '4'), port), cStrings(text)...)
	default:
		if c.opts.Sendmail {
			text = "IPv6:" + text
		}
		data = append(binary.BigEndian.AppendUint16(append(data, '6'), port), cStrings(text)...)
	}
	return c.Event('C', data)
}

// Helo sends HELO.
func (c *Client) Helo(name string) (Reply, error) { return c.Event('H', cStrings(name)) }

// Mail sends MAIL with an address, to which it adds brackets, and parameters.
func (c *Client) Mail(addr string, args ...string) (Reply, error) {
	return c.Event('M', append(cStrings("<"+addr+">"), cStrings(args...)...))
}

// Rcpt sends RCPT as Mail does MAIL.
func (c *Client) Rcpt(addr string, args ...string) (Reply, error) {
	return c.Event('R', append(cStrings("<"+addr+">"), cStrings(args...)...))
}

// Data sends DATA, unless the filter does not want it.
func (c *Client) Data() (Reply, error) {
	if c.agreed.Protocol&NoData != 0 {
		return Reply{Action: Continue}, nil
	}
	return c.Event('T', nil)
}

// Unknown sends a command that the MTA does not know, unless the filter does
// not want it.
func (c *Client) Unknown(line string) (Reply, error) {
	if c.agreed.Protocol&NoUnknown != 0 {
		return Reply{Action: Continue}, nil
	}
	return c.Event('U', cStrings(line))
}

// Field sends a header field. value is all that follows the colon, folds as
// LF; one leading space is taken off unless the filter wants it.
func (c *Client) Field(name, value string) (Reply, error) {
	if c.agreed.Protocol&LeadingSpace == 0 {
		value = strings.TrimPrefix(value, " ")
	}
	return c.Event('L', cStrings(name, value))
}

// EndOfHeader ends the header.
func (c *Client) EndOfHeader() (Reply, error) { return c.Event('N', nil) }

// Body sends a chunk of body, at most 65,535 bytes with CRLF.
func (c *Client) Body(chunk []byte) (Reply, error) { return c.Event('B', chunk) }

// Abort gives up the message at hand. It has no answer.
func (c *Client) Abort() error { return c.WriteFrame('A', nil) }

// QuitNewConnection ends the SMTP session and keeps the milter connection.
func (c *Client) QuitNewConnection() error { return c.WriteFrame('K', nil) }

// Quit ends the session.
func (c *Client) Quit() error {
	return errors.Join(c.WriteFrame('Q', nil), c.Flush(), c.conn.Close())
}

// EndOfMessage ends the message, and reads edits until the final answer.
func (c *Client) EndOfMessage() (Result, error) {
	if err := c.WriteFrame('E', nil); err != nil {
		return Result{}, err
	}
	return c.RestOfMessage()
}

// RestOfMessage does the same when the end of message was written already, as
// a frame.
func (c *Client) RestOfMessage() (Result, error) {
	res := Result{Stage: 'E', LeadingSpace: c.agreed.Protocol&LeadingSpace != 0}
	for {
		code, data, err := c.ReadFrame()
		if err != nil {
			return res, fmt.Errorf("answer to end of message: %w", err)
		}
		if code == progress {
			res.Progress++
			if err := checkProgress(data); err != nil {
				return res, err
			}
			continue
		}
		edit, ok, err := c.parseEdit(code, data)
		if err != nil {
			return res, err
		}
		if !ok {
			res.Reply, err = parseReply(code, data)
			return res, err
		}
		res.Edits = append(res.Edits, edit)
	}
}

const progress = 'p' // SMFIR_PROGRESS

// checkProgress refuses progress with data, as Postfix does.
func checkProgress(data []byte) error {
	if len(data) > 0 {
		return fmt.Errorf("progress with %d bytes of data", len(data))
	}
	return nil
}

// cStrings ends each string with a NUL.
func cStrings(ss ...string) []byte {
	var b []byte
	for _, s := range ss {
		b = append(append(b, s...), 0)
	}
	return b
}
