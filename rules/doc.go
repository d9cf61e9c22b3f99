// Package rules answers what an operator asks about override rules: which there
// are and how they are used, what is wrong with them, what each would change
// among the stored messages, and which rule would accept mail like a stored
// message.
//
// The package prints to a writer that it is given. It changes no rule file: a rule
// that it proposes is printed, and the operator puts it into a file. Reading and
// writing the text of rules is the work of config/rulefile.
//
// Limits: a proposal names at most 20 domains of recipients; an impact names three
// queue ids for each change and at most 100 sealers.
package rules
