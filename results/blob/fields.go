package blob

// The numbers of the fields, for each type. They are in files: none is ever
// given to another field, also when its own is gone.
const (
	rowFacts    = 1
	rowDecision = 2
	rowSettings = 3 // of 12 hexadecimal digits, their number
	rowSum      = 4 // any other text of Settings
	rowShape    = 5

	factsNanos      = 1 // of Time, beyond the milliseconds of the column
	factsListener   = 2
	factsClientZone = 3 // the address is in the column
	factsClientName = 4
	factsHelo       = 5
	factsRelay      = 6
	factsNullPath   = 7
	factsMailFrom   = 8
	factsRecipients = 9
	factsSkip       = 10
	factsFrom       = 11
	factsCut        = 12
	factsAuthors    = 13
	factsSPF        = 14
	factsHELO       = 15
	factsDKIM       = 16
	factsARC        = 17
	factsDeferred   = 18
	factsStale      = 19
	factsMarks      = 20 // Version and three flags, see marks
	factsListID     = 21
	factsSeed       = 22
	factsLacks      = 23
	factsTrimmed    = 40
	factsForged     = 30
	factsBIMI       = 31 // BIMIEligible
	factsTooMany    = 32 // TooManyForged
	factsUnknown    = 33 // UnknownClient
	factsPressed    = 36

	factsEarlierSPF = 45 // EarlierSPFFail

	addrBytes = 1
	addrZone  = 2

	spfResult = 1
	spfDomain = 2
	spfTerm   = 3
	spfReason = 4

	dkimResult        = 1
	dkimDomain        = 2
	dkimSelector      = 3
	dkimAlgorithm     = 4
	dkimB             = 5
	dkimCanon         = 6
	dkimKeyBits       = 7
	dkimTesting       = 8
	dkimReason        = 9
	dkimHeaderOK      = 10
	dkimSignedAt      = 11 // seconds since 1970; absent without a time
	dkimSignedAtNanos = 12
	dkimCutByMTA      = 13

	arcResult     = 1
	arcReason     = 2
	arcOldestPass = 3
	arcSealers    = 4

	sealerDomain   = 1
	sealerSelector = 2
	sealerRecorded = 3

	recordedMethod = 1
	recordedResult = 2
	recordedDomain = 3

	authorDomain       = 1
	authorOrg          = 2
	authorPolicyDomain = 3
	authorSource       = 4
	authorRecord       = 5
	authorDefects      = 6
	authorDraw         = 7
	authorDiffers      = 8
	authorSigners      = 9
	authorStatus       = 10 // from here on, Verdict
	authorPolicy       = 11
	authorTesting      = 12
	authorPct          = 13
	authorAlignedSPF   = 14
	authorAlignedDKIM  = 15
	authorCause        = 16
	authorReason       = 17
	authorAsked        = 18 // from here on, Standing
	authorNoMail       = 19
	authorMissing      = 20
	authorMessages     = 21 // from here on, History
	authorDKIMPass     = 22

	decisionAction      = 1
	decisionDisposition = 2
	decisionRequested   = 3
	decisionOverride    = 4
	decisionEvidence    = 5
	decisionReason      = 6
	decisionAuthor      = 7
	decisionEffective   = 8
	decisionRule        = 9
	decisionAlso        = 10
	decisionShadow      = 11
	decisionComment     = 12
	decisionUnreported  = 13

	policyApplied  = 1
	policyOverride = 2

	shadowRule        = 1
	shadowAction      = 2
	shadowDisposition = 3
)
