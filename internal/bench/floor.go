package main

import (
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"errors"
	"net"
	"os/signal"
	"runtime"
	"syscall"
	"time"

	"dmarcgate/milter"
)

// serveFloor is the process of the milter floor: the milter room in front of a
// handler that does nothing, until it is told to stop.
func serveFloor(path string) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	ln, err := net.Listen("unix", path)
	if err != nil {
		return err
	}
	srv := &milter.Server{Name: "floor", Handler: idler{}}
	defer context.AfterFunc(ctx, func() { _ = srv.Shutdown(ctx) })() // sessions that are open are cut
	return srv.Serve(ln)
}

// idler wants all of every message and does nothing with it.
type idler struct{}

func (idler) Start(context.Context, *milter.Envelope, [][]byte) milter.Message { return idler{} }
func (idler) Overflow(*milter.Envelope, [][]byte) milter.Overflow              { return idler{} }
func (idler) Field([]byte)                                                     {}
func (idler) Write(p []byte) (int, error)                                      { return len(p), nil }
func (idler) Finish() milter.Answer                                            { return milter.Answer{} }

// floorKeys sign and verify for the crypto floor. They have the sizes of the
// senders' keys.
type floorKeys struct {
	rsa *rsa.PrivateKey
	ed  ed25519.PrivateKey
}

func newFloorKeys() (floorKeys, error) {
	r, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return floorKeys{}, err
	}
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	return floorKeys{r, ed}, err
}

// proof is a header and a signature of it for the crypto floor to verify.
type proof struct {
	header []byte
	sig    []byte
	times  int // how many signatures the message has
}

// prove signs the header of a message.
func (k floorKeys) prove(m *mail) (proof, error) {
	var header []byte
	for _, f := range m.fields {
		header = append(header, f.Name+":"+f.Value+"\r\n"...)
	}
	if m.sign == ed25519Only {
		digest := sha256.Sum256(header)
		return proof{header, ed25519.Sign(k.ed, digest[:]), 1}, nil // over the hash: RFC 8463, Section 3
	}
	times := 1
	if m.sign == twoRSA {
		times = 2
	}
	return k.proveRSA(header, times)
}

// proveRSA signs a header with RSA, to be verified a number of times.
func (k floorKeys) proveRSA(header []byte, times int) (proof, error) {
	digest := sha256.Sum256(header)
	sig, err := rsa.SignPKCS1v15(rand.Reader, k.rsa, crypto.SHA256, digest[:])
	return proof{header, sig, times}, err
}

var errFloor = errors.New("the crypto floor's own signature does not verify")

// verify does what no verifier can leave out: one hash of the body, and a hash
// of the header and a verification for each signature. The sum of the body is
// returned so that it is not optimized away.
func (k floorKeys) verify(m *mail) (body [sha256.Size]byte, err error) {
	body = sha256.Sum256(m.body)
	for range m.proof.times {
		digest := sha256.Sum256(m.proof.header)
		if m.sign != ed25519Only {
			err = rsa.VerifyPKCS1v15(&k.rsa.PublicKey, crypto.SHA256, digest[:], m.proof.sig)
		} else if !ed25519.Verify(k.ed.Public().(ed25519.PublicKey), digest[:], m.proof.sig) {
			err = errFloor
		}
		if err != nil {
			return body, err
		}
	}
	return body, nil
}

// measureCrypto returns the CPU time that verifying n messages takes one
// thread.
func (c *corpus) measureCrypto(ctx context.Context, n int) (time.Duration, error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	begin, err := readClock(threadClock)
	if err != nil {
		return 0, err
	}
	for i := range n {
		if _, err := c.floor.verify(c.mails[i%len(c.mails)]); err != nil {
			return 0, err
		}
		if err := ctx.Err(); err != nil {
			return 0, err
		}
	}
	end, err := readClock(threadClock)
	return end - begin, err
}
