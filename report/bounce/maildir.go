package bounce

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	netmail "net/mail"
	"os"
	"slices"
	"strings"
	"syscall"

	"github.com/emersion/go-message"
)

// maxSweep is how many files of a maildir are looked at in one Sweep.
const maxSweep = 1000

// Sweep takes the mails in the folder new of a maildir, and moves each to cur
// after the commit. It returns how many were moved. Mails to other addresses
// than return paths are moved, too, and are not handled. A mail that cannot be
// read or stored stays where it is.
func (in Intake) Sweep(ctx context.Context, dir string) (int, error) {
	root, err := os.OpenRoot(dir) // no link leads out of the maildir
	if err != nil {
		return 0, err
	}
	defer root.Close()
	folder, err := root.Open("new")
	if err != nil {
		return 0, err
	}
	names, err := folder.Readdirnames(maxSweep)
	folder.Close()
	if err != nil && err != io.EOF {
		return 0, err
	}
	slices.Sort(names)
	moved := 0
	var failed error
	for _, name := range names {
		if strings.HasPrefix(name, ".") {
			continue
		}
		mail, err := readMail(root, "new/"+name)
		if err != nil {
			failed = errors.Join(failed, err)
			continue
		}
		if err := in.take(ctx, root, name, mail); err != nil { // as the next would end
			return moved, errors.Join(failed, fmt.Errorf("bounce %q: %w", name, err))
		}
		moved++
	}
	return moved, failed
}

// take handles one mail and moves its file.
func (in Intake) take(ctx context.Context, root *os.Root, name string, mail []byte) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if token, ok := in.token(mail); ok {
		if err := in.handle(ctx, token, mail); err != nil {
			return err
		}
	}
	unique, _, _ := strings.Cut(name, ":")
	return root.Rename("new/"+name, "cur/"+unique+":2,S") // seen
}

// readMail returns the beginning of a file. What is no file has no text.
func readMail(root *os.Root, path string) ([]byte, error) {
	f, err := root.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0) // a pipe is not waited for
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return nil, err
	}
	return io.ReadAll(io.LimitReader(f, maxRead))
}

// token finds the return path that a mail was delivered to: an MTA notes it when
// it delivers, and an MTA that sends a notice writes it to To.
func (in Intake) token(mail []byte) (string, bool) {
	e, err := message.ReadWithOptions(bytes.NewReader(mail), &message.ReadOptions{MaxHeaderBytes: maxHeader})
	if !usable(e, err) {
		return "", false
	}
	for _, name := range []string{"Delivered-To", "X-Original-To", "Envelope-To", "To"} {
		for fields := e.Header.FieldsByKey(name); fields.Next(); {
			for _, address := range addresses(fields.Value()) {
				if token, err := in.Key.Check(address, in.Domain, in.now()); err == nil {
					return token, true
				}
			}
		}
	}
	return "", false
}

// addresses are the addresses of a field.
func addresses(value string) []string {
	list, err := netmail.ParseAddressList(value)
	if err != nil {
		return []string{strings.Trim(strings.TrimSpace(value), "<>")}
	}
	var out []string
	for _, a := range list {
		out = append(out, a.Address)
	}
	return out
}
