package postfix

import "strings"

// Change is one change of a parameter, in main.cf or as an override of a service.
type Change struct {
	Service  string // "" for main.cf, else the ID of the service, such as "submission/inet"
	Name     string // of the parameter
	Old, New string // as written; see Was
	Was      bool   // the parameter was set before, to Old; else there is nothing to go back to
}

// Setting is the change as an argument of postconf -e or -P: "name=value", or
// "service/type/name=value".
func (c Change) Setting() string {
	if c.Service != "" {
		return c.Service + "/" + c.Name + "=" + c.New
	}
	return c.Name + "=" + c.New
}

// Command is the command that makes the change in the instance of dir.
func (c Change) Command(dir string) []string {
	mode := "-e"
	if c.Service != "" {
		mode = "-P"
	}
	return []string{"postconf", "-c", dir, mode, c.Setting()}
}

// Undo is the command that takes the change back.
func (c Change) Undo(dir string) []string {
	switch {
	case c.Was:
		return Change{Service: c.Service, Name: c.Name, New: c.Old}.Command(dir)
	case c.Service != "":
		return []string{"postconf", "-c", dir, "-PX", c.Service + "/" + c.Name}
	}
	return []string{"postconf", "-c", dir, "-X", c.Name}
}

// String is the change for a person, in the form of main.cf or of -o in master.cf.
func (c Change) String() string {
	if c.Service == "" {
		return c.Name + " = " + c.New
	}
	if strings.ContainsAny(c.New, " \t{},") {
		return "-o { " + c.Name + " = " + c.New + " }"
	}
	return "-o " + c.Name + "=" + c.New
}
