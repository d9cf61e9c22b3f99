package main

import (
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
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
type floorKeys map[signing]crypto.Signer

func newFloorKeys() (floorKeys, error) {
	large, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, err
	}
	small, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		return nil, err
	}
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	return floorKeys{signRSA2048: large, signTwoRSA: large, signRSA1024: small, signEd25519: ed}, err
}

// proof is a header and a signature of it for the crypto floor to verify.
type proof struct {
	header []byte
	sig    []byte
	times  int // how many signatures have to be verified
}

// prove signs the header of a message. Of a message without a signature nothing
// has to be hashed, and where the body was altered its hash says enough.
func (k floorKeys) prove(m *mail) (proof, error) {
	if m.fate != direct {
		return proof{}, nil
	}
	var header []byte
	for _, f := range m.fields {
		header = append(header, f.Name+":"+f.Value+"\r\n"...)
	}
	digest, opts, times := sha256.Sum256(header), crypto.SHA256, 1
	if m.sign == signEd25519 {
		opts = crypto.Hash(0) // over the hash: RFC 8463, Section 3
	}
	if m.sign == signTwoRSA {
		times = 2
	}
	sig, err := k[m.sign].Sign(rand.Reader, digest[:], opts)
	return proof{header, sig, times}, err
}

// verify does what no verifier can leave out: one hash of the body, and a hash
// of the header and a verification for each signature.
func (k floorKeys) verify(m *mail) error {
	if m.fate == spoofed {
		return nil
	}
	sum := sha256.Sum256(m.body)
	runtime.KeepAlive(sum) // nobody reads the sum, and it has to be made
	for range m.proof.times {
		digest := sha256.Sum256(m.proof.header)
		switch key := k[m.sign].Public().(type) {
		case *rsa.PublicKey:
			if err := rsa.VerifyPKCS1v15(key, crypto.SHA256, digest[:], m.proof.sig); err != nil {
				return err
			}
		case ed25519.PublicKey:
			if !ed25519.Verify(key, digest[:], m.proof.sig) {
				return errSignature
			}
		}
	}
	return nil
}

// threadCPU returns the CPU time that one thread takes to do f for n mails.
func (c *corpus) threadCPU(ctx context.Context, n int, f func(*mail) error) (time.Duration, error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	begin, err := readClock(threadClock)
	if err != nil {
		return 0, err
	}
	for i := range n {
		if err := f(c.mails[i%len(c.mails)]); err != nil {
			return 0, err
		}
		if err := ctx.Err(); err != nil {
			return 0, err
		}
	}
	end, err := readClock(threadClock)
	return end - begin, err
}
