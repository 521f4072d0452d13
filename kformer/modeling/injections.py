"""STUB until the merge of branch model."""

UNREAD = {
    "none": {"layers", "facts", "key_init", "key_scale", "max_fact_tokens"},
    "concat": {"layers", "key_init", "key_scale"},
    "static": {"max_fact_tokens"},
}


def relevant_settings(model):
    return model.model_dump(mode="json", exclude=UNREAD.get(model.injection, set()))
