package envoy

import (
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/encoding/proto"
	"google.golang.org/grpc/mem"
)

// codec is the protobuf codec of the server. It passes on encoded answers to check requests, and
// encodes other messages as usual.
type codec struct{ encoding.CodecV2 }

func newCodec() codec { return codec{encoding.GetCodecV2(proto.Name)} }

// Marshal implements [encoding.CodecV2].
func (c codec) Marshal(v any) (mem.BufferSlice, error) {
	switch v := v.(type) {
	case *reply:
		return v.take(), nil
	case *call:
		return lastResort(), nil
	}
	return c.CodecV2.Marshal(v)
}
