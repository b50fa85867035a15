package authz

import (
	"strings"
	"time"
)

// A Denial is a denial that was remembered, for operators. Texts that the client has sent are
// bounded, and may have any characters. It has neither tokens nor secrets.
type Denial struct {
	// At is when the request arrived, in Unix seconds.
	At float64 `json:"at"`
	// RequestID is the id that the client was told, and SentID its x-request-id, if that
	// is another one.
	RequestID string `json:"request_id,omitempty"`
	SentID    string `json:"x_request_id,omitempty"`

	// Status is that of the answer, 0 if a shadow policy let the request through. Meaning
	// is what Reason tells of the request, its record and its consumer.
	Status  int    `json:"status,omitempty"`
	Reason  string `json:"reason"`
	Meaning string `json:"meaning"`
	Shadow  bool   `json:"shadow,omitempty"`
	// Error is what went wrong on the side of this service or its store.
	Error string `json:"error,omitempty"`

	// Policy is the one that governed the request, and Vault its vault object.
	Policy string `json:"policy,omitempty"`
	Vault  string `json:"vault,omitempty"`
	// RoutePolicy is the name of a policy that the route gave, nil if it gave none.
	RoutePolicy *string `json:"route_policy,omitempty"`
	// Matching are the policies that select such a request by its host and path now, the
	// most specific first: that one governs. MatchingChanged says that it was another one,
	// or none, when the request was denied.
	Matching        []Match `json:"matching,omitempty"`
	MatchingChanged bool    `json:"matching_changed,omitempty"`

	// AccessTokenIn and SecretTokenIn say where the tokens were, like "header
	// access-token".
	AccessTokenIn []string `json:"access_token_in,omitempty"`
	SecretTokenIn []string `json:"secret_token_in,omitempty"`
	// Credential is the [Fingerprint] of the access token.
	Credential string `json:"credential,omitempty"`
	// Lookup is how the credential was found, see [Reporter]. Reread says that what was found
	// did not authenticate the request, and that the decision is by what the store said for
	// this request.
	Lookup string `json:"lookup,omitempty"`
	Reread bool   `json:"read_anew,omitempty"`
	// Consumer is the id of the consumer.
	Consumer string `json:"consumer,omitempty"`
	Username string `json:"username,omitempty"`

	Method string `json:"method,omitempty"`
	Host   string `json:"host,omitempty"`
	// Path is without the query.
	Path   string `json:"path,omitempty"`
	Source string `json:"source,omitempty"`
	// Duration is how long the decision took, in microseconds.
	Duration int64 `json:"duration_us"`
}

// The texts of a request that are remembered.
const (
	textRequestID = iota
	textMethod
	textSource
	textHost
	textRoute
	// textNames are the names by which the tokens were given, one after another.
	textNames
	textPath
	textCount
)

// maxText is how many bytes of each text are remembered.
var maxText = [textCount]int{textRequestID: 64, textMethod: 16, textSource: 48, textHost: 96, textRoute: 64, textNames: 192, textPath: 256}

const (
	// maxTexts is less than all of them: the last one, the path, gets what others leave.
	maxTexts = 576
	// maxTokens is how many places of tokens are remembered.
	maxTokens = 6
)

// A keptDenial is a denial as it is remembered. It refers neither to the request, whose memory
// is used again, nor to the policies and consumers of that time, which would stay in memory.
type keptDenial struct {
	facts keptFacts
	// ends has the end of each text in texts, isCut that it was longer. What is written for
	// most denials is at the beginning, so that it takes few lines of the processor's cache.
	ends  [textCount]uint16
	isCut [textCount]bool
	texts [maxTexts]byte
}

type keptFacts struct {
	// at is in nanoseconds since 1970.
	at   int64
	took time.Duration

	err                error
	policy, vault      string
	consumer, username string
	lookup             string
	answered           [32]byte
	credential         [fingerprintLength]byte

	status               uint16
	reason               Reason
	shadow, reread, http bool
	// identified says that there was a well-formed access token, named that the route named
	// a policy, and chosen that it was decided which policy governs, or that none does.
	identified, named, chosen bool

	inBody [tokenCount]bool
	// given counts tokens.
	given  uint8
	tokens [maxTokens]keptToken
}

// A keptToken is one place of a token: a name in the headers or in the query, as it stands
// there.
type keptToken struct {
	token  uint8
	place  Place
	length uint8
}

// keep remembers a decision about r. p is the policy that governed, or nil.
func (k *keptDenial) keep(r *Request, d *Decision, took time.Duration, p *policy) {
	f := &k.facts
	*f = keptFacts{
		at: r.received().UnixNano(), took: took, reason: d.Reason, err: d.Err, answered: d.RequestID, lookup: d.Lookup,
		shadow: d.Shadow, reread: d.Reread, http: r.HTTP,
		named: r.NamesPolicy || r.PolicyName != "", chosen: d.Policy != nil || d.Reason == ReasonNoPolicy,
	}
	if !d.Allowed {
		f.status = uint16(d.Status()) //nolint:gosec // three digits
	}
	if d.Policy != nil {
		f.policy, f.vault = d.Policy.Name, d.Policy.Vault
	}
	if d.Consumer != nil {
		f.consumer, f.username = d.Consumer.ID, d.Consumer.Username
	}
	if f.identified = d.AccessToken != ""; f.identified {
		AppendFingerprint(f.credential[:0], d.AccessToken)
	}
	for t, place := range d.Places {
		f.inBody[t] = place == PlaceBody
	}
	path, _ := splitTarget(r.Path)
	k.ends, k.isCut = [textCount]uint16{}, [textCount]bool{}
	k.put(textRequestID, r.Header(requestIDHeader))
	k.put(textMethod, r.Method)
	k.put(textSource, r.Source)
	k.put(textHost, r.Host)
	k.put(textRoute, r.PolicyName)
	k.put(textNames, "")
	if p != nil {
		k.putNames(r, p)
	}
	k.put(textPath, path)
}

// begin returns where a text begins in texts: where the one before it ends.
func (k *keptDenial) begin(text int) int {
	if text == 0 {
		return 0
	}
	return int(k.ends[text-1])
}

// put remembers a text, as much of it as there is room for. Texts come in order.
func (k *keptDenial) put(text int, value string) {
	begin := k.begin(text)
	n := copy(k.texts[begin:min(begin+maxText[text], maxTexts)], value)
	k.ends[text], k.isCut[text] = uint16(begin+n), n < len(value) //nolint:gosec // at most maxTexts
}

// putNames remembers the names by which tokens were given.
func (k *keptDenial) putNames(r *Request, p *policy) {
	f := &k.facts
	add := func(token int, place Place, name string) {
		end := int(k.ends[textNames])
		if f.given == maxTokens || len(name) > maxText[textNames] || end+len(name) > min(int(k.ends[textRoute])+maxText[textNames], maxTexts) {
			k.isCut[textNames] = true
			return
		}
		f.tokens[f.given] = keptToken{token: uint8(token), place: place, length: uint8(copy(k.texts[end:], name))} //nolint:gosec // at most 192
		f.given++
		k.ends[textNames] = uint16(end + len(name)) //nolint:gosec // at most maxTexts
	}
	for i := range r.Headers {
		name := r.Headers[i].Name
		t, is := p.names.lookupHeader(name)
		switch {
		case !is:
		case t != tokenOfScheme:
			add(t, PlaceHeader, name)
		case p.AuthorizationScheme == SchemeBearer:
			add(p.names.bearer, PlaceHeader, name)
		default:
			add(tokenAccess, PlaceHeader, name)
			add(tokenSecret, PlaceHeader, name)
		}
	}
	_, query := splitTarget(r.Path)
	for query != "" && f.given < maxTokens {
		var parameter parameter
		parameter, query = nextParameter(query)
		if t, is := p.names.tokenOf(parameter); is {
			add(t, PlaceQuery, parameter.name)
		}
	}
}

func (k *keptDenial) text(text int) string {
	return string(k.texts[k.begin(text):k.ends[text]])
}

// shown is a text for people: in UTF-8, and with a mark if it was longer.
func (k *keptDenial) shown(text int) string {
	value := strings.ToValidUTF8(k.text(text), "\uFFFD")
	if k.isCut[text] {
		value += "…"
	}
	return value
}

// denial tells what is remembered.
func (k *keptDenial) denial() Denial {
	f := &k.facts
	d := Denial{
		At: float64(f.at/1000) / 1e6, Duration: f.took.Microseconds(),
		Status: int(f.status), Reason: f.reason.String(), Meaning: f.reason.Meaning(), Shadow: f.shadow,
		Policy: f.policy, Vault: f.vault, Lookup: f.lookup, Reread: f.reread, Consumer: f.consumer, Username: f.username,
		Method: k.shown(textMethod), Host: k.shown(textHost), Path: k.shown(textPath), Source: k.shown(textSource),
	}
	if f.answered != ([32]byte{}) {
		d.RequestID = string(f.answered[:])
	}
	if sent := k.text(textRequestID); sent != "" {
		if id, same := RequestID(sent); !same || string(id[:]) != d.RequestID {
			d.SentID = k.shown(textRequestID)
		}
	}
	if f.err != nil {
		d.Error = f.err.Error()
	}
	if f.named {
		name := k.shown(textRoute)
		d.RoutePolicy = &name
	}
	if f.identified {
		d.Credential = string(f.credential[:])
	}
	d.AccessTokenIn, d.SecretTokenIn = k.in(tokenAccess), k.in(tokenSecret)
	return d
}

// in says where a token was.
func (k *keptDenial) in(token int) (places []string) {
	names := k.text(textNames)
	for _, t := range k.facts.tokens[:k.facts.given] {
		if int(t.token) == token {
			places = append(places, t.place.String()+" "+strings.ToValidUTF8(names[:t.length], "\uFFFD"))
		}
		names = names[t.length:]
	}
	if k.facts.inBody[token] {
		places = append(places, PlaceBody.String())
	}
	return places
}

// sameRequest returns a function that says whether a denial is that of a request with an id.
func sameRequest(id string) func(*keptDenial) bool {
	digits, isUUID := RequestID(id)
	kept := id[:min(len(id), maxText[textRequestID])]
	return func(k *keptDenial) bool {
		if isUUID && k.facts.answered == digits {
			return true
		}
		sent := k.text(textRequestID)
		if sent == "" {
			return false
		}
		other, is := RequestID(sent)
		return sent == kept || isUUID && is && other == digits
	}
}
