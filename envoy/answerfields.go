package envoy

// The numbers of the fields of an answer, by the names of the messages and fields in Envoy's API.
const (
	checkResponseStatus          = 1
	checkResponseDenied          = 2
	checkResponseOK              = 3
	checkResponseDynamicMetadata = 4
	checkResponseError           = 5

	statusCode    = 1
	statusMessage = 2

	okHeaders                 = 2
	okHeadersToRemove         = 5
	okQueryParametersToRemove = 8

	deniedStatus  = 1
	deniedHeaders = 2
	deniedBody    = 3

	httpStatusCode = 1

	optionHeader       = 1
	optionAppend       = 2
	optionAppendAction = 3
	headerKey          = 1
	headerValue        = 2
	headerRawValue     = 3

	structFields = 1
	entryKey     = 1
	entryValue   = 2
	valueString  = 3
	valueBool    = 4
	valueStruct  = 5
	valueList    = 6
	listValues   = 1
)
