"""What a request of generateContent may hold, as a closed JSON Schema.

Google publishes the shape of this API as protocol buffers only (google.ai.generativelanguage.v1beta). Names
and types here are theirs, for all that our protocol writes or is likely to pass on; 2026-11.
"""

from typing import Any

BASE64 = {"type": "string", "pattern": "^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$"}
TEXT = {"type": "string"}
NUMBER = {"type": "number"}
COUNT = {"type": "integer", "minimum": -(2**31), "maximum": 2**31 - 1}
FLAG = {"type": "boolean"}


def closed(required: tuple[str, ...] = (), **properties: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(required),
        "additionalProperties": False,
    }


def listed(items: Any) -> dict[str, Any]:
    return {"type": "array", "items": items}


PART = {
    **closed(text=TEXT, inlineData=closed(("mimeType", "data"), mimeType=TEXT, data=BASE64)),
    "minProperties": 1,
    "maxProperties": 1,  # a union: one of them
}
CONTENT = closed(("parts",), role={"enum": ["user", "model"]}, parts={**listed(PART), "minItems": 1})
VOICE = closed(prebuiltVoiceConfig=closed(("voiceName",), voiceName=TEXT))

REQUEST = closed(
    ("contents",),
    systemInstruction=CONTENT,
    contents={**listed(CONTENT), "minItems": 1},
    tools=listed({"type": "object"}),
    toolConfig={"type": "object"},
    safetySettings=listed(closed(("category", "threshold"), category=TEXT, threshold=TEXT)),
    cachedContent=TEXT,
    generationConfig=closed(
        candidateCount=COUNT,
        stopSequences={**listed(TEXT), "maxItems": 5},
        maxOutputTokens=COUNT,
        temperature=NUMBER,
        topP=NUMBER,
        topK=COUNT,
        seed=COUNT,
        responseMimeType={"enum": ["text/plain", "application/json", "text/x.enum"]},
        responseJsonSchema={"type": "object"},
        presencePenalty=NUMBER,
        frequencyPenalty=NUMBER,
        responseLogprobs=FLAG,
        logprobs=COUNT,
        responseModalities=listed({"enum": ["TEXT", "IMAGE", "AUDIO"]}),
        speechConfig=closed(voiceConfig=VOICE, languageCode=TEXT),
        thinkingConfig=closed(includeThoughts=FLAG, thinkingBudget=COUNT),
        imageConfig=closed(aspectRatio=TEXT),
        mediaResolution=TEXT,
    ),
)
