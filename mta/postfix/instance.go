package postfix

import (
	"strings"
)

// Instance is one instance of Postfix: a configuration directory as postconf
// reads it.
type Instance struct {
	Dir      string            // the configuration directory, absolute
	Values   map[string]string // every parameter with its value, $name expanded; defaults too
	Set      map[string]string // the parameters that main.cf sets, as they are written there
	Services []Service         // of master.cf, in their order
}

// Service is one line of master.cf.
type Service struct {
	Name, Type string            // such as "smtp", "inet"
	Private    string            // y, n or -
	Chroot     string            // y, n or -; see Instance.Chrooted
	Program    string            // such as "smtpd", without its arguments
	Overrides  map[string]string // by -o, $name expanded
	Written    map[string]string // by -o, as they are written
}

// ID is the name of a service for postconf: "smtp/inet".
func (s Service) ID() string { return s.Name + "/" + s.Type }

// Version is mail_version, such as "3.7.11".
func (i *Instance) Version() string { return i.Values["mail_version"] }

// QueueDir is the queue directory, which is the root of chrooted processes.
func (i *Instance) QueueDir() string { return i.Values["queue_directory"] }

// MailOwner is the user that smtpd runs as.
func (i *Instance) MailOwner() string { return i.Values["mail_owner"] }

// Service returns the service with this ID.
func (i *Instance) Service(id string) (s Service, ok bool) {
	for _, s := range i.Services {
		if s.ID() == id {
			return s, true
		}
	}
	return Service{}, false
}

// Smtpd returns the services that receive mail by SMTP: those whose program is
// smtpd. Behind postscreen it is the one of type pass.
func (i *Instance) Smtpd() []Service {
	var list []Service
	for _, s := range i.Services {
		if s.Program == "smtpd" {
			list = append(list, s)
		}
	}
	return list
}

// Value is a parameter as the service has it: its override, or else main.cf.
func (i *Instance) Value(s Service, name string) string {
	if v, ok := s.Overrides[name]; ok {
		return v
	}
	return i.Values[name]
}

// Chrooted reports whether a service runs below the queue directory. The default
// of the column is no, and yes below compatibility level 1 (master(5)).
func (i *Instance) Chrooted(s Service) bool {
	if s.Chroot == "-" {
		level := i.Values["compatibility_level"]
		return level == "" || level == "0"
	}
	return s.Chroot == "y"
}

// Milters returns the milters that an smtpd service asks, in their order: none
// with no_milters in receive_override_options.
func (i *Instance) Milters(s Service) ([]Milter, error) {
	for _, word := range split(i.Value(s, "receive_override_options")) {
		if word == "no_milters" {
			return nil, nil
		}
	}
	return ParseMilters(i.Value(s, "smtpd_milters"))
}

// Piped reports whether a content filter is a command that pipe(8) runs. Such a
// filter returns mail through sendmail(1).
func (i *Instance) Piped(filter string) bool {
	transport, _, _ := strings.Cut(filter, ":")
	s, ok := i.Service(transport + "/unix")
	return ok && s.Program == "pipe"
}

// parseValues reads lines "name = value" of postconf.
func parseValues(out string) map[string]string {
	values := map[string]string{}
	for line := range strings.Lines(out) {
		if name, value, ok := cutLine(line); ok {
			values[name] = value
		}
	}
	return values
}

func cutLine(line string) (name, value string, ok bool) {
	name, value, ok = strings.Cut(strings.TrimRight(line, "\r\n"), " =")
	return name, strings.TrimPrefix(value, " "), ok && name != ""
}

// parseServices reads the lines "service/type/field = value" of postconf -F.
func parseServices(out string) []Service {
	var list []Service
	at := map[string]int{}
	for line := range strings.Lines(out) {
		name, value, ok := cutLine(line)
		id, field := cutLast(name)
		if !ok || field == "" {
			continue
		}
		n, seen := at[id]
		if !seen {
			n = len(list)
			at[id] = n
			service, kind := cutLast(id)
			list = append(list, Service{Name: service, Type: kind, Overrides: map[string]string{}, Written: map[string]string{}})
		}
		switch field {
		case "private":
			list[n].Private = value
		case "chroot":
			list[n].Chroot = value
		case "command":
			list[n].Program, _, _ = strings.Cut(value, " ")
		}
	}
	return list
}

// addOverrides adds the lines "service/type/parameter = value" of postconf -P.
// of chooses the map that they go to.
func addOverrides(list []Service, out string, of func(Service) map[string]string) {
	at := map[string]Service{}
	for _, s := range list {
		at[s.ID()] = s
	}
	for line := range strings.Lines(out) {
		name, value, ok := cutLine(line)
		id, parameter := cutLast(name)
		if s, found := at[id]; ok && found {
			of(s)[parameter] = value
		}
	}
}

// cutLast splits at the last slash: the name of a service of type unix may have
// one itself.
func cutLast(text string) (before, after string) {
	if i := strings.LastIndexByte(text, '/'); i >= 0 {
		return text[:i], text[i+1:]
	}
	return text, ""
}
