# Stores rows as Mail::DMARC does, then makes its documents of them. Prints the CPU
# seconds of the second step, and the numbers of documents and bytes. A row is a line of
# words: domain, client, disposition, dkim and spf of DMARC, domain of MAIL FROM, selector.
use strict;
use warnings;
use Socket qw(inet_aton);
use Mail::DMARC::Policy;
use Mail::DMARC::Report::Aggregate::Record;
use Mail::DMARC::Report::Store::SQL;

my $store = Mail::DMARC::Report::Store::SQL->new;
$store->db_connect;
my $db = $store->dbix->dbh;
$db->begin_work;
$db->do("INSERT INTO author (org_name, email) VALUES ('Bench', 'dmarc\@bench.example')");
my $author = $db->last_insert_id;
my (%domain, %report);
sub domain {
    my $name = shift;
    return $domain{$name} //= do { $db->do("INSERT INTO domain (domain) VALUES (?)", undef, $name); $db->last_insert_id };
}
my $day = int(time / 86400) * 86400 - 86400;
while (<STDIN>) {
    my ($from, $ip, $disposition, $dkim, $spf, $mfrom, $selector) = split;
    my $did = domain($from);
    my $rid = $report{$from} //= do {
        $db->do("INSERT INTO report (begin, end, author_id, from_domain_id, uuid) VALUES (?,?,?,?,?)", undef, $day, $day + 86399, $author, $did, $from);
        my $id = $db->last_insert_id;
        $db->do("INSERT INTO report_policy_published (report_id, adkim, aspf, p, pct) VALUES (?,'r','r','reject',100)", undef, $id);
        $id;
    };
    $db->do("INSERT INTO report_record (report_id, source_ip, disposition, dkim, spf, envelope_from_did, header_from_did) VALUES (?,?,?,?,?,?,?)",
        undef, $rid, inet_aton($ip), $disposition, $dkim, $spf, domain($mfrom), $did);
    my $row = $db->last_insert_id;
    $db->do("INSERT INTO report_record_spf (report_record_id, domain_id, scope, result) VALUES (?,?,'mfrom','pass')", undef, $row, domain($mfrom));
    $db->do("INSERT INTO report_record_dkim (report_record_id, domain_id, selector, result) VALUES (?,?,?,'pass')", undef, $row, $did, $selector);
}
$db->commit;

my ($documents, $bytes) = (0, 0);
my ($user, $system) = times;
while (my $report = $store->next_todo) {
    $documents++;
    $bytes += length $report->as_xml;
}
my ($user2, $system2) = times;
printf "%.3f %d %d\n", $user2 - $user + $system2 - $system, $documents, $bytes;
