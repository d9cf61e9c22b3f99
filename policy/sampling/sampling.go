package sampling

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"net/netip"
)

// Sampler draws numbers for sampling. They are keyed with a secret of the
// site: a retry of the same message gets the same number, hosts that share
// the secret agree, and a sender cannot compute which of its messages will
// be let through. (Peers use a random number, so that a rejected message
// passes at the third attempt.)
type Sampler struct {
	key []byte
}

// MinSecret is the shortest secret that is accepted, in bytes: as long as
// the hash, RFC 2104, Section 3.
const MinSecret = sha256.Size

// NewSampler makes a Sampler from a secret of at least MinSecret bytes.
func NewSampler(secret []byte) Sampler { return Sampler{key: secret} }

// Sample is what a draw depends on, apart from its purpose.
type Sample struct {
	Author    string // author domain
	MessageID string // as it stands in the header
	Date      string // as it stands in the header
	MailFrom  string // the whole reverse path
	Client    netip.Addr
}

// Draw returns a number from 0 to 99. Draws for different purposes are
// independent.
func (s Sampler) Draw(purpose string, m Sample) uint8 {
	return uint8(s.number(purpose, m) % 100) // 2^64 is so much larger than 100 that the bias is below 1e-17
}

func (s Sampler) number(purpose string, m Sample) uint64 {
	h := hmac.New(sha256.New, s.key)
	for _, part := range []string{purpose, m.Author, m.MessageID, m.Date, m.MailFrom, Network(m.Client)} {
		var n [8]byte
		binary.BigEndian.PutUint64(n[:], uint64(len(part)))
		h.Write(n[:])
		h.Write([]byte(part))
	}
	return binary.BigEndian.Uint64(h.Sum(nil))
}

// Network returns the client's network as text: /24 of IPv4, /64 of IPv6. The
// outbound hosts of one sender usually share it, and a retry may come from
// the neighbour. It is empty for a client without an address.
func Network(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	a = a.Unmap().WithZone("")
	bits := 64
	if a.Is4() {
		bits = 24
	}
	return netip.PrefixFrom(a, bits).Masked().String()
}

// Seed returns what the other draws of a message are made from, never zero.
func (s Sampler) Seed(m Sample) uint64 { return max(1, s.number("seed", m)) }

// DrawFrom returns a number from 0 to 99 for a purpose: "ramp", or the id of a
// rule. Draws for different purposes are independent, and who does not know
// the seed cannot compute any.
func DrawFrom(seed uint64, purpose string) uint8 {
	sum := sha256.Sum256(binary.BigEndian.AppendUint64([]byte(purpose), seed))
	return uint8(binary.BigEndian.Uint64(sum[:]) % 100)
}
