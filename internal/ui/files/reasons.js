// What to look at for each reason of a denial. The meaning of a reason comes from the API.
// A test compares the names with those of the service.
export const advice = {
  missing_token: 'Does a proxy in front drop headers with underscores? Send access-token and secret-token. Are the names those of the policy (access_token_name, secret_token_name)?',
  duplicate_token: 'The client sends a token twice: in both spellings, in header and query with different values, or with a comma in it.',
  malformed_token: 'The token has characters or a length that no credential has: tokens.extra_characters and tokens.max_length in the configuration.',
  unknown_token: 'Is there a record for this access token, and does the policy use the right vault object?',
  wrong_secret: 'The record has another secret. Was it rotated, and is the grace over?',
  expired: 'The credential has expired. Give it a later expiry, or make a new one.',
  not_yet_valid: 'The credential is not valid yet: see its not_before.',
  disabled: 'The credential is disabled. Enable it, if that was not on purpose.',
  malformed_record: 'The document in Vault has a mistake. The page of the credential says which, and so does the log line “malformed credential record”.',
  unknown_consumer: 'consumer.id in the record must be the id of a consumer in the file or the state.',
  acl: 'Compare the groups of the consumer with those that the policy lets in.',
  anonymous_acl: 'The policy demands a group, and its anonymous consumer has none.',
  no_policy: 'The route names a policy that does not exist, or no policy matches and none is the default.',
  ambiguous_path: 'The path has dots, empty segments, or an encoding that two programs may read differently. The client has to send a plain one.',
  ambiguous_host: 'The host has a port or a dot at its end that no policy mentions. Let Envoy remove it, or name the port in the policy.',
  ambiguous_policy: 'Two policies tie. Give one of them another priority, host or path.',
  unavailable: 'Vault did not answer, refused the token of the vault object, or is asked too much. See Vaults.',
  canceled: 'Envoy’s timeout for the check is too short, or the client left.',
  not_http: 'The filter is on a TCP listener, or the message could not be read.',
  anonymous_missing: 'The anonymous consumer of the policy was deleted.',
  internal: 'This is a bug. Please report it with the line in the log.',
  unset: 'This is a bug. Please report it with the line in the log.',
};

// The reasons to let a request in. Every other one denies.
export const allowing = ['authenticated', 'anonymous', 'preflight'];

export const words = (reason) => reason.replaceAll('_', ' ');
