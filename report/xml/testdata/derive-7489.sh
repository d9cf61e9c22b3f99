#!/bin/sh
# Prints the schema of RFC 7489, Appendix C, in the form that a validator compiles and that
# reports are written in. The published text is left as it is (dmarc-7489.xsd). Two things
# change:
#
# - targetNamespace goes: no xmlns is bound to it, so that no type is found, and reports
#   carry no namespace;
# - the pattern of IPAddress goes: it has line breaks, dots that match anything, and no
#   compressed IPv6 (errata 5221 and 7865).
set -eu
sed -e 's| *targetNamespace="[^"]*"||' -e '/<xs:pattern /,/\/>/d' "$(dirname "$0")/dmarc-7489.xsd"
