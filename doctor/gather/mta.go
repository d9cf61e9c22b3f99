package gather

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"

	"dmarcgate/config"
	"dmarcgate/doctor"
	"dmarcgate/mta/postfix"
)

const (
	maxInstances = 20      // of Postfix: our limit; a host has one to five
	maxFilter    = 1 << 20 // bytes of a configuration file of another milter
)

// mta reads every instance of Postfix, tries the milter sockets as its user, and
// reads the configuration of other milters.
func mta(ctx context.Context, cfg *config.Config, o Options) func(*doctor.Host) {
	list, unseen := instances(ctx, o.PostfixDir)
	sockets := map[string]doctor.Socket{}
	for _, i := range list {
		if !root() {
			unseen = append(unseen, "whether "+i.MailOwner()+" can connect to the sockets: run doctor as root")
			break
		}
		try(ctx, i, cfg, sockets)
	}
	filters := filters(o.Filters)
	return func(h *doctor.Host) {
		h.Postfix, h.Sockets, h.Filters = list, sockets, filters
		h.Unseen = append(h.Unseen, unseen...)
	}
}

// instances are the primary instance and those of multi_instance_directories.
func instances(ctx context.Context, dir string) (list []*postfix.Instance, unseen []string) {
	first, err := postfix.Read(ctx, dir)
	switch {
	case errors.Is(err, exec.ErrNotFound) || errors.Is(err, os.ErrNotExist):
		return nil, nil // another MTA
	case err != nil:
		return nil, []string{"Postfix: " + err.Error()}
	}
	list = append(list, first)
	for _, other := range strings.FieldsFunc(first.Values["multi_instance_directories"], func(c rune) bool { return strings.ContainsRune(", \t", c) }) {
		if len(list) == maxInstances {
			unseen = append(unseen, fmt.Sprintf("more than %d instances of Postfix", maxInstances))
			break
		}
		i, err := postfix.Read(ctx, other)
		if err != nil {
			unseen = append(unseen, "Postfix: "+err.Error())
			continue
		}
		list = append(list, i)
	}
	return list, unseen
}

// try connects to each milter socket as each smtpd does, and to the control socket
// as the user of Postfix.
func try(ctx context.Context, i *postfix.Instance, cfg *config.Config, sockets map[string]doctor.Socket) {
	for _, s := range i.Smtpd() {
		milters, err := i.Milters(s)
		if err != nil {
			continue
		}
		for _, m := range milters {
			if network, at, ok := m.Socket(i.QueueDir(), i.Chrooted(s)); ok && network == "unix" {
				sockets[at] = connect(ctx, i, s, m, at)
			}
		}
	}
	at := cfg.Admin.Control
	sockets[at] = connect(ctx, i, postfix.Service{Chroot: "n"}, postfix.Milter{Address: "unix:" + at}, at)
}

// connect tells what stops a service from connecting to a socket.
func connect(ctx context.Context, i *postfix.Instance, s postfix.Service, m postfix.Milter, at string) doctor.Socket {
	conn, err := i.Connect(ctx, s, m)
	switch {
	case err == nil:
		conn.Close()
		return doctor.Socket{}
	case errors.Is(err, syscall.EACCES):
		return doctor.Socket{Closed: closedAt(at)}
	}
	return doctor.Socket{Missing: true} // not there, or nobody listens
}

// closedAt describes a socket that is closed for a user.
func closedAt(at string) string {
	info, err := os.Stat(at)
	if err != nil {
		return at
	}
	return fmt.Sprintf("%s (%s) or a directory above it", at, ownerOf(info))
}

// filters reads the configuration of OpenDKIM and OpenDMARC, where there is one.
func filters(dir string) (list []doctor.Filter) {
	if dir == "" {
		dir = "/etc"
	}
	name, _ := os.Hostname()
	for _, kind := range []string{"opendkim", "opendmarc"} {
		path := filepath.Join(dir, kind+".conf")
		f, err := os.Open(path)
		if err != nil {
			continue
		}
		text, err := io.ReadAll(io.LimitReader(f, maxFilter))
		f.Close()
		if err == nil {
			list = append(list, doctor.ReadFilter(kind, path, string(text), name))
		}
	}
	return list
}
