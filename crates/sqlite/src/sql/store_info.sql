SELECT codec, created_by FROM store_info;
